"""Each reason code comes from a real situation, and is shown with where it
happened and what to do.  The last test fails for a code that has none."""
import contextlib
import json
import os
import re
import shutil
import socket
import sqlite3

import pytest

from faults import Proxy
from harness import TOP, free_port, wait_until, write

REASONS = dict(re.findall(
    r'\[REASON_\w+\] = \{ "([a-z-]+)",\s*((?:"[^"]*"\s*)+)\}',
    (TOP / "proto/reason.c").read_text()))
REASONS = {code: "".join(re.findall(r'"([^"]*)"', advice))
           for code, advice in REASONS.items()}

# What no situation between whole programs brings about at will.
UNIT = {
    "stale-route": (
        "test/relay/relay_guard_test.c",
        "test_nothing_is_carried_before_it_is_told_what_was_revoked"),
    "superseded": (
        "test/tentacle/tickets_test.c",
        "test_an_older_life_of_the_database_is_refused"),
    "deadline": (
        "test/relay/relay_trace_test.c",
        "test_a_hop_that_is_silent_is_told_by_the_one_before"),
    "unknown": (
        "test/tentacle/guardian_test.c",
        "test_both_killed_is_running_and_then_unknown"),
    "clock": (
        "test/common/doctor_test.c", "test_a_clock_before_the_certificate_is_the_clock"),
    "internal": (
        "test/proto/message_test.c",
        "test_a_newer_peers_reason_and_hint_are_read"),
}
NOTHING_WRONG = {"none"}
produced = set()


@pytest.fixture(scope="module")
def w(shared):
    quick = {"link.connect": "1s", "link.handshake": "2s"}
    shared.server(quick)
    shared.relay("dc2-a", settings=quick)
    shared.tentacle("web-01", via="dc2-a")
    shared.tentacle("web-02", via="dc2-a", dialled=False)
    # A machine that is not there: its address is the test's to choose.
    shared.cli("machine", "add", "target", "-e", "prod", "--route", "dc2-a")
    return shared


def shown(code, record, at=None, *words):
    """A record of API, trace or doctor: reason, place, words, advice."""
    text = record.get("text") or record.get("detail")
    assert (record.get("reason") or record.get("code")) == code, record
    assert record["advice"] == REASONS[code] != "", record
    if at is not None:
        assert record["at"] == at, record
    for word in words:
        assert word in text, record
    # For people: one line that does not begin with a lower layer's name.
    assert "\n" not in text and "error:" not in text, record
    produced.add(code)


def told(code, result, *words):
    """A command on a terminal: words, then the advice."""
    for word in words:
        assert word in result.err + result.out, result
    assert REASONS[code] in result.err + result.out, result
    produced.add(code)


def last_hop(w, machine="target"):
    answer = json.loads(
        w.cli("route", "trace", machine, "-o", "json", code=None).out)
    return answer["hops"][-1] if answer["hops"] else answer


def traced(w, route, code, at, *words, machine="target"):
    """Give the machine a route and trace until this is the reason."""
    if route is not None:
        w.cli("machine", "set-route", machine, route)
    hop = wait_until(
        lambda: (lambda h: h.get("reason") == code and h)(
            last_hop(w, machine)), f"{code} on the way to {machine}")
    shown(code, hop, at, *words)
    return hop


@pytest.fixture
def port():
    """A socket at an address of ours; what it does is the test's."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as s:
        yield s


def address(s):
    return f"127.0.0.1:{s.getsockname()[1]}"


# --- On the way to a machine: who tried, which address ------------------------


def test_dns(w):
    traced(w, "dc2-a=nobody.invalid:10933", "dns", "relay dc2-a",
           "target: ", "nobody.invalid")


def test_refused(w):
    at = f"127.0.0.1:{free_port()}"
    traced(w, f"dc2-a={at}", "refused", "relay dc2-a",
           f"target: connection refused at {at}")


def test_connect_timeout(w, port):
    # Its queue is full: what comes then is dropped, as by a firewall.
    full = []
    for _ in range(4):
        c = socket.socket()
        c.setblocking(False)
        c.connect_ex(port.getsockname())
        full.append(c)
    traced(w, f"dc2-a={address(port)}", "connect-timeout", "relay dc2-a",
           "target: ", address(port))
    for c in full:
        c.close()


def test_tls(w, port):
    port.settimeout(30)
    w.cli("machine", "set-route", "target", f"dc2-a={address(port)}")
    c, _ = port.accept()
    c.sendall(b"220 mail.example ESMTP\r\n")
    traced(w, None, "tls", "relay dc2-a", "target: ")
    c.close()


def test_wrong_identity(w):
    at = w.machines["web-01"].address()
    traced(w, f"dc2-a={at}", "wrong-identity", "relay dc2-a", "target: ", at)


def test_no_route(w):
    w.cli("machine", "add", "nowhere", "-e", "prod")
    hop = last_hop(w, "nowhere")
    shown("no-route", hop, "server n1", "nowhere: has no route")
    w.cli("machine", "remove", "nowhere")


def test_relay_down(w):
    w.cli("relay", "add", "dc9-x")
    traced(w, "dc9-x", "relay-down", "server n1",
           "target: relay dc9-x is not connected")
    w.cli("machine", "set-route", "target", "dc2-a")
    w.cli("relay", "remove", "dc9-x")


def test_agent_down(w):
    traced(w, "dc2-a", "agent-down", "relay dc2-a",
           "target: it dials this relay, and has not done so yet")


def test_draining(w):
    relay = w.relay("dc2-b")
    w.cli("machine", "set-route", "target", "dc2-b")
    relay.stop()
    traced(w, None, "draining", "server n1", "target: relay dc2-b",
           "shutting down")
    w.cli("machine", "set-route", "target", "dc2-a")
    w.cli("relay", "remove", "dc2-b")


def test_proxy(w):
    dead = f"127.0.0.1:{free_port()}"
    result = w.call(["longarm-relay", "doctor", "--state",
                     str(w.relays["dc2-a"].state), "-o", "json", "--set",
                     f"link.proxy=http://{dead}"])
    row = json.loads(result.out)[-1]
    row["text"] = row.pop("detail")
    shown("proxy", row, None, "server n1: ", f"proxy {dead}")


def test_no_space(w):
    """A disk of its own, as small as we like, in a namespace of its own."""
    disk = w.directory / "disk"
    disk.mkdir()
    result = w.call([
        "unshare", "-Urm", "sh", "-c",
        'mount -t tmpfs -o size=8m,mode=700 none "$0" && '
        'exec longarm-relay doctor --state "$0" -o json', str(disk)])
    row = [r for r in json.loads(result.out) if r["check"] == "state"][0]
    row["text"] = row.pop("detail")
    shown("no-space", row, None, str(disk), "MiB free")


def test_revoked(w):
    w.tentacle("gone", via="dc2-a")
    w.cli("machine", "revoke", "gone")
    traced(w, None, "revoked", "relay dc2-a", "gone: ", machine="gone")
    w.machines["gone"].process.stop()
    w.cli("machine", "remove", "gone")


def test_clone(w):
    """A copied disk: two machines with one identity, one after the other."""
    machine = w.tentacle("copied", via="dc2-a")
    w.cli("run", "-m", "copied", "--", "true")
    machine.process.stop()
    copy = machine.home / "copy"
    shutil.copytree(machine.state, copy)
    machine.process.start()
    w.wait_presence("machine", "copied")
    w.cli("health", "run", "copied")
    argv = [str(copy) if a == str(machine.state) else a
            for a in machine.process.argv]
    machine.process.stop()
    machine.process.argv = argv
    machine.process.start()
    w.wait_presence("machine", "copied")
    w.cli("run", "-m", "copied", "--", "true", code=None)
    row = wait_until(lambda: (lambda r: r["hold"] and r)(
        w.row("machine", "copied")), "the hold")
    answer = json.loads(
        w.cli("route", "trace", "copied", "-o", "json", code=None).out)
    shown(row["hold"], answer, "server n1", "copied: ", "is held")
    result = w.cli("run", "-m", "copied", "--", "true", code=5)
    told(row["hold"], result, "copied")
    assert row["hold"] == "clone", row
    machine.process.stop()
    w.cli("machine", "remove", "copied")


def test_journal(w):
    machine = w.tentacle("restored", via="dc2-a")
    journal = machine.state / "journal"
    machine.process.stop()
    before = journal.read_bytes()
    machine.process.start()
    w.wait_presence("machine", "restored")
    w.cli("run", "-m", "restored", "--", "true")
    machine.process.stop()
    journal.write_bytes(before)
    machine.process.start()
    w.wait_presence("machine", "restored")
    w.cli("run", "-m", "restored", "--", "true", code=None)
    answer = wait_until(
        lambda: (lambda a: a.get("reason") and a)(json.loads(
            w.cli("route", "trace", "restored", "-o", "json",
                  code=None).out)), "the hold")
    shown("journal", answer, "server n1", "restored: ", "is held")
    machine.process.stop()
    w.cli("machine", "remove", "restored")


# --- What became of work -------------------------------------------------------


def ended(w, task):
    """The fault of its first run, else its own."""
    end = w.wait_task(task, "failed", "cancelled", "succeeded")
    faults = [r["fault"] for r in end["runs"] if r["fault"]]
    return (faults + [end["fault"]])[0]


def test_script_failed(w):
    shown("script-failed", ended(w, w.start_run("exit 3", "-m", "web-01")),
          None, "3")


def test_timed_out(w):
    task = w.start_run("sleep 60", "-m", "web-01", "--script-timeout", "1s")
    shown("timed-out", ended(w, task), None, "1")


def test_out_of_memory(w):
    task = w.start_run("exec tail /dev/zero", "-m", "web-01", "--memory",
                       "16MiB")
    what = ended(w, task)
    if what["code"] == "not-permitted":
        pytest.skip("no control groups here")
    shown("out-of-memory", what, None, "limit 16 MiB")


def test_memory(w):
    """A package for a slow machine, at a relay that may keep next to nothing."""
    patient = {"link.dead": "60s", "link.user-timeout": "60s"}
    w.relay("small", settings=patient | {"link.receive-budget": "4K"})
    machine = w.tentacle("slow", via="small", settings=patient,
                         words=("-e", "prod", "-r", "far"))
    line = Proxy(w, machine.address())
    w.cli("machine", "set-route", "slow", f"small={line.address}")
    w.cli("run", "-m", "slow", "--", "true")
    w.project("project: far\npackage: big\nsteps:\n  - name: install\n"
              "    roles: [far]\n    deploy: big\n", name="far")
    w.package("big", "1", {"x": os.urandom(150000).hex()})
    w.release("1", "big=1", name="far")
    line.tell("rate up 8000")
    task = w.deploy("1", name="far")
    shown("memory", wait_until(
        lambda: w.run_state(task, "slow", "stage big 1") == "running" and
        w.runs(task)[("slow", "stage big 1")]["fault"], "the reason"),
        "relay small", "link.receive-budget")
    # Not so slow any more, it goes on where it was.
    line.tell("rate up 0")
    w.cli("task", "wait", task)
    line.end()


def test_cancelled(w):
    task = w.start_run("sleep 60", "-m", "web-01")
    w.wait_task(task, "running")
    w.cli("task", "cancel", task)
    shown("cancelled", ended(w, task))


# --- What is asked of the server -----------------------------------------------


def api(w, method, path, body=None, key=None, headers=None):
    if key is None:
        key = json.loads((w.office / "login").read_text())["key"]
    status, text = w.api(method, path, key=key, body=body, headers=headers)
    return status, json.loads(text)


def test_not_permitted(w):
    key = w.json("apikey", "create", "looker", "--permissions", "view")["key"]
    status, answer = api(w, "POST", "/api/v1/machines/web-01/traces", "{}",
                         key)
    assert status == 403
    shown("not-permitted", answer, None, "health.run")


def test_expired(w):
    key = w.json("apikey", "create", "brief", "--permissions", "view",
                 "--expires", "1s")["key"]
    answer = wait_until(
        lambda: (lambda a: a[0] == 401 and a[1])(
            api(w, "GET", "/api/v1/machines", None, key)), "its end")
    shown("expired", answer, None, "expired")


def test_not_found(w):
    told("not-found", w.cli("machine", "show", "nobody", code=3), "nobody")


def test_conflict(w):
    told("conflict", w.cli("environment", "create", "prod", code=1), "prod")


def test_too_many(w):
    process = w.machines["web-01"].process
    process.freeze()
    try:
        answers = [api(w, "POST", "/api/v1/machines/web-01/traces", "{}")
                   for _ in range(17)]
    finally:
        process.thaw()
    assert answers[0][0] == 201 and answers[-1][0] == 429, answers
    shown("too-many", answers[-1][1], None, "16 traces are under way")
    w.wait_presence("machine", "web-01")


def test_protocol(w):
    status, answer = api(w, "POST", "/api/v1/environments",
                         json.dumps({"name": "test"}),
                         headers={"Idempotency-Key": "x" * 999})
    assert status == 400
    shown("protocol", answer, None, "Idempotency-Key")


def test_bad_config(w):
    file = write(w.office / "bad.yaml", "project: shop\nstep: []\n")
    told("bad-config", w.cli("project", "apply", "-f", file, code=1),
         "bad.yaml:2")


def test_bad_package(w):
    """The server keeps what it is given; the machine looks inside."""
    file = write(w.office / "none.tar.zst", "this is no archive")
    w.cli("package", "push", file, "--name", "none", "--version", "1")
    w.project("project: bad\npackage: none\nsteps:\n"
              "  - {name: install, roles: [web], deploy: none}\n", "bad")
    w.release("1", "none=1", name="bad")
    shown("bad-package", ended(w, w.deploy("1", name="bad")))


def test_token(w):
    token = w.token("late-01")
    w.cli("token", "revoke", w.row("token", "late-01")["id"])
    result = w.call(["longarm-tentacle", "join", "--state",
                     str(w.directory / "late-01"), "--token-file", str(token),
                     w.upstream("dc2-a")])
    assert result.code != 0
    told("token", result, "token", "server n1")


def test_version(w):
    """A database that a newer server has migrated."""
    copy = w.directory / "newer"
    shutil.copytree(w.state, copy)
    with contextlib.closing(sqlite3.connect(copy / "longarm.db")) as db:
        db.execute("PRAGMA user_version = 999")
    result = w.call(["longarm-server", "serve", "--state", str(copy),
                     "--http-listen", "127.0.0.1:0", "--listen",
                     "127.0.0.1:0"])
    assert result.code != 0
    told("version", result, "999")


# --- No code without a test ----------------------------------------------------


def test_each_code_is_produced_by_a_test_and_has_advice(request):
    for code, (file, name) in UNIT.items():
        source = (TOP / file).read_text()
        enum = "REASON_" + code.upper().replace("-", "_")
        assert f" {name}(" in source, (code, file, name)
        assert enum in source, (code, file)
    here = {i.name[5:].replace("_", "-") for i in request.session.items
            if i.fspath == request.fspath}
    missing = set(REASONS) - here - set(UNIT) - NOTHING_WRONG
    assert not missing, f"no test produces {sorted(missing)}"
    # Where all of the file was run, each test has shown its own code.
    if set(REASONS) - set(UNIT) - NOTHING_WRONG <= here:
        assert set(REASONS) - produced - set(UNIT) == NOTHING_WRONG
    assert all(advice.endswith(".") or advice.endswith("?")
               for advice in REASONS.values()), REASONS
