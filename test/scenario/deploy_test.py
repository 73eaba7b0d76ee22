"""The way of a release to its machines: in order, in windows, or not at all."""
import pytest

from harness import wait_until

MACHINES = ("web-01", "web-02", "web-03", "web-04")

PROCESS = """
project: shop
package: shop-web
steps:
  - name: roll out
    roles: [web]
    rolling: 2
    max_failures: 0
    steps:
      - name: drain
        run: date +%s%N >>"$HOME/drained"
      - name: install
        deploy: shop-web
        configure: [conf/*.conf]
        before: '[ ! -e "$HOME/before-fails" ]'
        after: cp conf/site.conf "$HOME/loaded"
      - name: smoke test
        run: |
          [ ! -e "$HOME/sick" ]
          while [ -e "$HOME/hold" ]; do sleep 0.02; done
          grep -F "release $Release" "$HOME/loaded"
      - name: readmit
        run: date +%s%N >>"$HOME/readmitted"
variables:
  Port: [ { value: 80 }, { value: 8080, scope: { machine: web-02 } } ]
  Greeting: { value: "hello from ${Environment}", scope: { environment: prod } }
  DbPassword: { sensitive: true }
"""

SITE = """listen ${Port};  # release ${Release} on ${Machine}
greeting "${Greeting}"; password "${DbPassword}"; plain "$${Port}";
"""


@pytest.fixture(scope="module")
def w(shared):
    shared.server()
    shared.relay("dc2-a")
    for name in MACHINES:
        shared.tentacle(name, via="dc2-a")
    shared.project(PROCESS)
    for version in ("1.0", "2.0", "3.0"):
        shared.package("shop-web", version, {
            "conf/site.conf": SITE, "index.html": f"shop {version}\n"})
    shared.cli("variable", "set", "DbPassword", "--sensitive", "--project",
               "shop", input="hunter2-and-more\n")
    for version in ("1.0", "2.0", "3.0"):
        shared.release(version, f"shop-web={version}")
    return shared


def live(machine):
    return (machine.apps / "shop" / "shop-web" / "current" /
            "index.html").read_text()


def forget(w):
    for machine in w.machines.values():
        for name in ("drained", "readmitted", "sick"):
            machine.path(name).unlink(missing_ok=True)


@pytest.mark.sanitizer
def test_a_release_reaches_every_machine_configured(w):
    forget(w)
    w.cli("deploy", "shop", "--release", "1.0", "--to", "prod", "--wait")
    for name in MACHINES:
        machine = w.machines[name]
        port = 8080 if name == "web-02" else 80
        assert live(machine) == "shop 1.0\n"
        assert machine.read("loaded") == (
            f"listen {port};  # release 1.0 on {name}\n"
            'greeting "hello from prod"; password "hunter2-and-more"; '
            'plain "${Port}";\n')


def test_never_more_than_two_machines_are_drained(w):
    forget(w)
    w.cli("deploy", "shop", "--release", "2.0", "--to", "prod", "--wait")
    events = []
    for machine in w.machines.values():
        [drained], [back] = machine.lines("drained"), machine.lines(
            "readmitted")
        events += [(int(drained), 1), (int(back), -1)]
    inside = most = 0
    for _, change in sorted(events):
        inside += change
        most = max(most, inside)
    assert most == 2
    assert all(live(m) == "shop 2.0\n" for m in w.machines.values())


def test_a_failed_smoke_test_stops_the_roll_out(w):
    forget(w)
    w.machines["web-01"].touch("sick")
    w.machines["web-02"].touch("hold")
    task = w.deploy("3.0")
    wait_until(lambda: w.run_state(task, "web-01", "smoke test") == "failed",
               "the smoke test")
    w.machines["web-02"].path("hold").unlink()
    result = w.cli("task", "wait", task, code=None)
    assert result.code in (5, 10), result
    assert "web-01" in result.err and "smoke test" in result.err, result
    # What had begun was finished; nobody else was touched.
    assert not w.machines["web-01"].lines("readmitted")
    assert w.machines["web-02"].lines("readmitted")
    assert live(w.machines["web-02"]) == "shop 3.0\n"
    for name in ("web-03", "web-04"):
        assert not w.machines[name].lines("drained")
        assert live(w.machines[name]) == "shop 2.0\n"


def test_an_older_release_can_be_deployed_again(w):
    forget(w)
    w.cli("deploy", "shop", "--release", "1.0", "--to", "prod", "--wait")
    assert all(live(m) == "shop 1.0\n" for m in w.machines.values())
    versions = w.machines["web-01"].apps / "shop" / "shop-web" / "versions"
    assert len(list(versions.iterdir())) >= 2


def test_a_failing_hook_leaves_the_old_version_live(w):
    forget(w)
    w.machines["web-03"].touch("before-fails")
    result = w.cli("deploy", "shop", "--release", "2.0", "--to", "prod",
                   "--machine", "web-03", "--wait", code=5)
    assert "install" in result.err, result
    assert live(w.machines["web-03"]) == "shop 1.0\n"
    w.machines["web-03"].path("before-fails").unlink()


def test_an_unset_variable_is_an_error_with_file_and_line(w):
    w.package("shop-web", "4.0", {"conf/site.conf": "a\nb ${Nowhere}\n",
                                  "index.html": "shop 4.0\n"})
    w.release("4.0", "shop-web=4.0")
    result = w.cli("deploy", "shop", "--release", "4.0", "--to", "prod",
                   "--machine", "web-04", "--wait", code=5)
    assert "site.conf:2" in result.err and "Nowhere" in result.err, result
    assert live(w.machines["web-04"]) == "shop 1.0\n"


def test_an_unknown_release_project_or_environment_is_not_found(w):
    for words in (("shop", "--release", "9", "--to", "prod"),
                  ("nothing", "--release", "1.0", "--to", "prod"),
                  ("shop", "--release", "1.0", "--to", "nowhere")):
        w.cli("deploy", *words, code=3)
    answer = w.cli("release", "list", "nothing", code=3)
    assert "project nothing: not found" in answer.err, answer
    assert not w.cli("task", "show", "task-99", code=3).out


def test_a_wrong_process_file_is_refused_with_its_line(w):
    file = w.office / "wrong.yaml"
    file.write_text("project: shop\nsteps:\n  - name: a\n    rnu: true\n")
    result = w.cli("project", "apply", "-f", file, code=1)
    assert "wrong.yaml:4" in result.err and "run" in result.err, result


def test_a_package_version_cannot_be_pushed_twice_with_other_bytes(w):
    tree = w.office / "tree"
    (tree / "index.html").write_text("another\n")
    w.cli("package", "push", tree, "--name", "shop-web", "--version", "1.0",
          code=1)
