"""Who may see what: nobody more than needed, the relay nothing at all."""
import json
import os
import pathlib
import random
import stat
import threading

import pytest

from harness import wait_until

RUN = 16  # bytes in a row that may not be seen
PASSWORD = "correct-horse-battery-staple-4711"

PROCESS = """
project: vault
package: vault-web
steps:
  - name: open
    run: |
      # this very comment of the script is nobody else's business
      echo "the log tells $Colour to whoever may read it"
      echo "a slip of the tongue: $(cat "$LONGARM_SECRETS_DIR/Password")"
  - name: install
    deploy: vault-web
    configure: [app.conf]
variables:
  Colour: a-colour-that-nobody-has-ever-seen
  Password: { sensitive: true }
"""


@pytest.fixture(scope="module")
def w(shared):
    shared.server()
    shared.record = shared.directory / "record"
    shared.relay("dc2-a", settings={"debug.record": shared.record})
    shared.tentacle("web-01", via="dc2-a")
    noise = random.Random(1).randbytes(150000).hex()
    shared.files = {"app.conf": "password ${Password}\n", "noise": noise,
                    "read.me": "plain words in a package, easily found\n" * 9}
    shared.package("vault-web", "1", shared.files)
    shared.project(PROCESS)
    with ArgumentWatch() as watch:
        shared.cli("variable", "set", "Password", "--sensitive", "--project",
                   "vault", input=PASSWORD + "\n")
        shared.release("1", "vault-web=1", name="vault")
        shared.task_id = shared.deploy("1", name="vault")
        shared.cli("task", "wait", shared.task_id)
        shared.late = shared.join("late", via="dc2-a")
    shared.watch = watch
    return shared


class ArgumentWatch:
    """Every argument and its process, of all that ran meanwhile."""

    def __enter__(self):
        self.seen, self.over = set(), threading.Event()
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def look(self):
        while not self.over.is_set():
            for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes())
                except OSError:
                    pass

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def windows(data):
    return {data[i:i + RUN] for i in range(len(data) - RUN + 1)}


def contains_any(haystack, needles):
    return [haystack[i:i + RUN] for i in range(len(haystack) - RUN + 1)
            if haystack[i:i + RUN] in needles]


@pytest.mark.sanitizer
def test_a_relay_sees_no_byte_of_package_script_variable_or_log(w):
    record = w.record.read_bytes()
    # The recorder does record: what every TLS session says in the clear.
    assert b"longarm-seal/1" in record
    # And what is there would be found.
    assert contains_any(record, windows(record[-200:-100])) != []
    package = wait_until(lambda: [
        p for p in (w.state / "blobs").rglob("*") if p.is_file()
        and p.stat().st_size > 50000], "the package")[0].read_bytes()
    assert len(record) > len(package)
    log = w.cli("task", "log", w.task_id).out
    assert "the log tells" in log
    secrets = [package, PASSWORD.encode(), PROCESS.encode(), log.encode()]
    secrets += [text.encode() for text in w.files.values()]
    needles = set().union(*map(windows, secrets))
    assert contains_any(record, needles) == []


def test_a_sensitive_value_reaches_the_machine_and_no_log(w):
    conf = w.machines["web-01"].apps / "vault" / "vault-web" / "current" \
        / "app.conf"
    assert conf.read_text() == f"password {PASSWORD}\n"
    assert stat.S_IMODE(conf.stat().st_mode) & 0o007 == 0
    log = w.cli("task", "log", w.task_id).out
    assert "a slip of the tongue" in log and PASSWORD not in log


def test_a_sensitive_value_lies_nowhere_in_the_clear(w):
    places = [w.state, w.machines["web-01"].state, w.directory / "dc2-a"]
    for place in places:
        for path in place.rglob("*"):
            if path.is_file():
                assert PASSWORD.encode() not in path.read_bytes(), path
    listed = w.json("variable", "list", "--project", "vault")
    assert PASSWORD not in json.dumps(listed)


def test_no_log_holds_a_secret(w):
    secrets = [PASSWORD, json.loads(
        (w.state / "operator.login").read_text())["key"]]
    secrets += [p.read_text().strip().rsplit(".", 1)[-1]
                for p in w.office.glob("*.token")]
    for log in w.directory.glob("*.log"):
        text = log.read_text(errors="replace")
        assert [s for s in secrets if s in text] == [], log


def test_no_argument_of_any_process_holds_a_secret(w):
    key = json.loads((w.state / "operator.login").read_text())["key"]
    secrets = [PASSWORD, key] + [
        p.read_text().strip() for p in w.office.glob("*.token")]
    for cmdline in w.watch.seen:
        assert not any(s.encode() in cmdline for s in secrets), cmdline


def test_state_is_for_its_owner_only(w):
    for state in (w.state, w.machines["web-01"].state,
                  w.relays["dc2-a"].state):
        for path in [state, *state.rglob("*")]:
            if path.is_symlink():
                continue
            mode = stat.S_IMODE(path.stat().st_mode)
            public = path.is_file() and (
                path.suffix == ".crt" or path.name in ("cert.pem", "roots.pem"))
            assert public or mode & 0o077 == 0, f"{path} {mode:o}"
    for path in w.office.glob("*.token"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    login = w.office / "login"
    assert stat.S_IMODE(login.stat().st_mode) == 0o600


def test_the_api_answers_nothing_without_a_key(w):
    status, text = w.api("GET", "/api/openapi.json")
    key = json.loads((w.state / "operator.login").read_text())["key"]
    if status != 200:
        status, text = w.api("GET", "/api/openapi.json", key)
    assert status == 200
    tried = 0
    for path, methods in json.loads(text)["paths"].items():
        if not path.startswith("/api/v1"):
            continue
        concrete = path.replace("{", "").replace("}", "")
        for method in methods:
            if method not in ("get", "put", "post", "delete", "patch"):
                continue
            for bad in (None, "lk1.nobody.AAAA", key[:-1]):
                status, _ = w.api(method.upper(), concrete, bad, "{}"
                                  if method in ("put", "post") else None)
                # Whether a body is well formed is no secret.
                assert status == 401 or status in (400, 413, 415) and bad, (
                    method, path, bad, status)
            tried += 1
    assert tried > 20


def test_a_key_may_only_what_it_was_given(w):
    path = w.office / "viewer.key"
    made = w.cli("apikey", "create", "viewer", "--permissions", "view")
    path.write_text(made.out.strip())
    path.chmod(0o600)
    viewer = dict(w.environment, LONGARM_TOKEN_FILE=str(path))
    w.call(["longarm", "machine", "list"])
    saved, w.environment = w.environment, viewer
    try:
        assert "web-01" in w.cli("machine", "list").out
        w.cli("run", "--all", "--", "true", code=4)
        w.cli("environment", "create", "more", code=4)
        w.cli("token", "create", code=4)
    finally:
        w.environment = saved


def test_a_wrong_pin_is_refused_with_both_fingerprints(w):
    login = json.loads((w.state / "operator.login").read_text())
    right = login["ca_pin"].removeprefix("sha256:")
    wrong = ("0" if right[0] != "0" else "1") + right[1:]
    login["ca_pin"] = login["ca_pin"].replace(right, wrong)
    file = w.office / "wrong.login"
    file.write_text(json.dumps(login))
    file.chmod(0o600)
    environment = dict(w.environment,
                       LONGARM_LOGIN=str(w.office / "never-written"))
    saved, w.environment = w.environment, environment
    try:
        result = w.cli("login", "--file", file, code=None)
    finally:
        w.environment = saved
    assert result.code not in (0, 2), result
    assert right in result.err and wrong in result.err, result
    assert not (w.office / "never-written").exists()


def test_another_user_cannot_even_look(w):
    if os.getuid() != 0:
        pytest.skip("only root can be somebody else")
    done = w.call(["setpriv", "--reuid", "nobody", "--regid", "nogroup",
                   "--clear-groups", "ls", str(w.state)])
    assert done.code != 0
