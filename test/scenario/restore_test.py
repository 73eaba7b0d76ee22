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


# --- Row 27: the server's database is put back from a copy ---------------------

# Leaves its mark, and waits while there is a gate.
GATED = ('echo "$LONGARM_TASK" >>"$HOME/ran"; '
         'while [ -e "$HOME/gate" ]; do sleep 0.02; done')
PROCESS = """
project: shop
steps:
  - name: first
    roles: [web]
    run: echo x >>"$HOME/ran"
"""


def copied(w, to):
    """As docs/operator.md says: stop it, copy the state directory, start it."""
    assert w.server_process.stop() == 0
    shutil.copytree(w.state, to)
    w.server_process.start()
    w.wait_for_server()


def put_back(w, copy):
    w.server_process.kill()
    shutil.rmtree(w.state)
    shutil.copytree(copy, w.state)


def said(w):
    return w.call(["longarm-server", "restored", "--state", str(w.state)])


def test_a_database_that_is_put_back_runs_nothing_twice(world):
    w = world
    w.server()
    names = ["web-01", "web-02", "web-03"]
    machines = [w.tentacle(name, wait=False) for name in names]
    for name in names:
        w.wait_presence("machine", name)
    before = w.start_run("true", "-m", "web-01")
    w.wait_task(before, "succeeded")
    machines[0].touch("gate")
    # Running, not yet begun (it waits for the machine), and only planned.
    runs = w.start_run(GATED, "-m", "web-01")
    wait_until(lambda: machines[0].lines("ran"), "its mark")
    machines[1].process.stop()
    w.wait_presence("machine", "web-02", "offline")
    waits = w.start_run(GATED, "-m", "web-02", "--queue", "10m")
    wait_until(lambda: w.run_state(waits, "web-02") == "starting", "its turn")
    copied(w, w.office / "copy")
    # Everything goes on, and more is ordered.
    machines[1].process.start()
    w.wait_task(waits, "succeeded")
    machines[0].path("gate").unlink()
    w.wait_task(runs, "succeeded")
    for _ in range(3):
        w.cli("run", "--all", "--", 'echo more >>"$HOME/ran"')
    machines[2].process.restart()  # it has a newer token, too
    w.wait_presence("machine", "web-03")
    w.cli("run", "--all", "--", 'echo more >>"$HOME/ran"')
    marks = [m.lines("ran") for m in machines]
    put_back(w, w.office / "copy")
    # Nobody says so: it is noticed by the first machine that comes.
    w.server_process.start()
    wait_until(lambda: not w.server_process.is_running(), "its end")
    assert w.server_process.child.returncode == 78
    assert "longarm-server restored" in w.server_process.text()
    w.server_process.start()  # and does not start again
    wait_until(lambda: not w.server_process.is_running(), "its end")
    assert w.server_process.child.returncode == 78
    assert [m.lines("ran") for m in machines] == marks
    done = said(w)
    assert done.code == 0, done
    assert [line.split()[-2] for line in done.lines()] == ["2,", "2,"], done
    w.server_process.start()
    w.wait_for_server()
    for name in names:
        w.wait_presence("machine", name)
    for task, name in ((runs, "web-01"), (waits, "web-02")):
        told = w.wait_task(task, "failed")
        assert "put back from a copy" in told["fault"]["text"], told
        [run] = w.runs(task).values()
        assert run["state"] == "unknown", run
        assert "order it again" in run["fault"]["text"], run
    assert w.task(before)["state"] == "succeeded"
    # Numbers of tasks begin again where the copy was made; all work.
    w.cli("run", "--all", "--", 'echo after >>"$HOME/ran"')
    assert [m.lines("ran") for m in machines] == [
        lines + ["after"] for lines in marks]
    assert [w.row("machine", n)["hold"] for n in names] == [""] * 3
    assert "server.restored" in [a["action"] for a in w.audit()]
    # An honest restart is none of a copy.
    w.server_process.restart()
    w.wait_for_server()
    w.cli("run", "--all", "--", "true")
    # While it runs it cannot be said.
    assert said(w).code != 0


def test_who_says_it_first_need_not_wait_until_it_is_noticed(world):
    w = world
    w.server()
    machine = w.tentacle("web-01")
    w.project(PROCESS)
    w.release("1")
    copied(w, w.office / "copy")
    for _ in range(3):
        w.wait_task(w.deploy("1"), "succeeded")
    marks = machine.lines("ran")
    assert len(marks) == 3
    put_back(w, w.office / "copy")
    done = said(w)
    assert done.code == 0, done
    w.server_process.start()
    w.wait_for_server()
    w.wait_presence("machine", "web-01")
    # A deployment of a number that the machine has had already.
    w.wait_task(w.deploy("1"), "succeeded")
    assert len(machine.lines("ran")) == 4
