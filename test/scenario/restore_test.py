"""What was promised is lost: journals that are missing or set back, databases
that were put back from a copy (row 27).  Nothing runs twice for it."""
import shutil

import pytest

from harness import wait_until

SCRIPT = 'echo x >>"$HOME/ran"; echo done; exit 3'


@pytest.fixture(scope="module")
def w(shared):
    shared.use_failing()
    shared.server()
    for name in ("web-01", "web-02"):
        shared.tentacle(name, wait=False)
    for name in ("web-01", "web-02"):
        shared.wait_presence("machine", name)
    return shared


def hold(w, name):
    return w.row("machine", name)["hold"]


def test_a_lost_journal_is_noticed_and_nothing_runs_again(w):
    """The server dies with an answer to `start` that it has not committed, and
    the journals that know of it are lost."""
    machines = [w.machines[name] for name in ("web-01", "web-02")]
    for machine in machines:  # both are known with a journal
        w.cli("run", "-m", machine.name, "--", "true")
    w.fail("server").set("start.answered")
    child = w.open_cli("run", "--detach", "--all", "--", SCRIPT)
    w.fail("server").wait("start.answered")
    for machine in machines:
        wait_until(lambda m=machine: m.lines("ran"), "its mark")
        machine.process.kill()
        (machine.state / "journal").unlink()
    # One of them also without the evidence that there were tickets.
    shutil.rmtree(machines[1].state / "runs")
    for machine in machines:
        machine.process.start()
    w.server_process.start()
    w.wait_for_server()
    task = w.finish(child).out.strip()
    w.cli("task", "wait", task, code=5)
    runs = w.runs(task)
    for machine in machines:
        run = runs[(machine.name, "run")]
        assert run["state"] == "unknown", run
        assert run["fault"]["code"] == "journal", run
        assert machine.lines("ran") == ["x"], machine.name
    # The first says what is missing, and takes no order before it is mended.
    assert hold(w, "web-01") == ""
    err = w.cli("run", "-m", "web-01", "--", "true", code=5).err
    assert "journal is missing" in err and "put it back" in err, err
    # The second is held: its new journal is not the one that was known.
    assert hold(w, "web-02") == "journal"
    err = w.cli("run", "-m", "web-02", "--", "true", code=5).err
    assert "is held" in err, err
    w.cli("machine", "release", "web-02")
    w.cli("run", "-m", "web-02", "--", "true")
    # As docs/operator.md says.
    machines[0].process.stop()
    (machines[0].state / "runs").rename(machines[0].state / "runs.lost")
    machines[0].process.start()
    w.cli("run", "-m", "web-01", "--", "true", code=5)
    wait_until(lambda: hold(w, "web-01") == "journal", "the hold")
    w.cli("machine", "release", "web-01")
    w.cli("run", "-m", "web-01", "--", "true")
    assert all(m.lines("ran") == ["x"] for m in machines)
