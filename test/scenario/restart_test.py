"""Programs that are killed in the middle: nothing lost, nothing done twice."""
import os
import re
import shutil
import signal

import pytest

from harness import BIN, wait_until

pytestmark = pytest.mark.soak
MACHINES = ("web-01", "web-02", "web-03")

PROCESS = """
project: shop
steps:
  - name: roll out
    roles: [web]
    rolling: 2
    steps:
      - name: one
        run: 'echo one >>"$HOME/ran"; echo text of one'
      - name: gate
        run: |
          echo gate >>"$HOME/ran"
          while [ ! -e "$HOME/go" ]; do sleep 0.02; done
          echo text of gate
      - name: two
        run: 'echo two >>"$HOME/ran"; echo text of two'
"""
STEPS = ["one", "gate", "two"]


@pytest.fixture(scope="module")
def w(shared):
    shared.server()
    shared.relay("dc2-a")
    shared.tentacle("web-01", via="dc2-a")
    shared.tentacle("web-02", via="dc2-a", dialled=False)
    shared.tentacle("web-03", via="dc2-a")
    shared.project(PROCESS)
    shared.release("1")
    return shared


@pytest.fixture(autouse=True)
def clean(w):
    yield
    for machine in w.machines.values():
        for name in ("ran", "go"):
            machine.path(name).unlink(missing_ok=True)


def ran(w):
    return [len(w.machines[m].lines("ran")) for m in MACHINES]


def open_gates(w):
    for name in MACHINES:
        w.machines[name].touch("go")


def check_log(w, task):
    log = w.cli("task", "log", task).out.splitlines()
    assert sorted(log) == sorted(
        f"{m} {s} | text of {s}" for m in MACHINES for s in STEPS)


@pytest.mark.sanitizer
def test_a_server_killed_in_mid_deployment_goes_on(w):
    task = w.deploy("1")
    wait_until(lambda: sorted(ran(w)) == [0, 2, 2], "two machines at the gate")
    w.server_process.restart()
    w.wait_for_server()
    assert w.task(task)["state"] == "running"
    open_gates(w)
    w.cli("task", "wait", task)
    assert all(w.machines[m].lines("ran") == STEPS for m in MACHINES)
    check_log(w, task)


def test_a_server_killed_at_every_step_still_runs_each_script_once(w):
    open_gates(w)
    task = w.deploy("1")
    for count in (1, 3, 5, 7):
        wait_until(lambda: sum(ran(w)) >= count or w.task(task)["ended_ms"],
                   f"{count} scripts")
        w.server_process.restart()
        w.wait_for_server()
    w.cli("task", "wait", task)
    assert all(w.machines[m].lines("ran") == STEPS for m in MACHINES)
    check_log(w, task)


def test_a_follower_waits_for_a_server_that_restarts(w):
    child = w.open_cli("deploy", "shop", "--release", "1", "--to", "prod",
                       "--wait")
    wait_until(lambda: sorted(ran(w)) == [0, 2, 2], "two machines at the gate")
    w.server_process.restart()
    open_gates(w)
    result = w.finish(child)
    assert result.code == 0, result
    assert sorted(result.lines()) == sorted(
        f"{m} {s} | text of {s}" for m in MACHINES for s in STEPS)


def test_a_relay_killed_in_mid_script_loses_nothing(w):
    task = w.start_run(
        'echo x >>"$HOME/ran"; i=0; while [ $i -lt 300 ]; do i=$((i + 1)); '
        'echo line $i; sleep 0.005; done; '
        'while [ ! -e "$HOME/go" ]; do sleep 0.02; done; echo end',
        "--environment", "prod")
    relay = w.relays["dc2-a"]
    for line in (20, 150):
        wait_until(lambda: f"line {line}\n" in w.cli("task", "log", task).out,
                   f"line {line}")
        relay.restart()
    open_gates(w)
    w.cli("task", "wait", task)
    log = w.cli("task", "log", task).out.splitlines()
    for name in MACHINES:
        mine = [x.split("| ")[1] for x in log if x.startswith(name + " ")]
        assert mine == [f"line {i}" for i in range(1, 301)] + ["end"]
        assert w.machines[name].lines("ran") == ["x"]


def test_a_relay_killed_in_mid_deployment_stops_nothing_for_long(w):
    task = w.deploy("1")
    wait_until(lambda: sorted(ran(w)) == [0, 2, 2], "two machines at the gate")
    w.relays["dc2-a"].kill()
    open_gates(w)
    w.relays["dc2-a"].start()
    w.cli("task", "wait", task)
    assert all(w.machines[m].lines("ran") == STEPS for m in MACHINES)
    check_log(w, task)


def who(machine, role):
    """The pid that a guardian (or the script itself) wrote of itself."""
    # What has ended is there until the server says that it has the result.
    record = max(machine.state.glob("runs/*/run-*/record"),
                 key=lambda path: path.stat().st_mtime)
    return wait_until(
        lambda: re.search(rf"^{role} .*?pid=(\d+) ", record.read_text(), re.M),
        role).group(1)


def kill(machine, *roles):
    for role in roles:
        pid = int(who(machine, role))
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid), f"{role} gone")


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


GATED = ('echo x >>"$HOME/ran"; echo begun; '
         'while [ ! -e "$HOME/go" ]; do sleep 0.02; done; echo late; exit 3')


@pytest.fixture
def gated(w):
    """A task whose script waits on web-03, and that machine."""
    machine = w.machines["web-03"]
    task = w.start_run(GATED, "-m", "web-03")
    wait_until(lambda: "begun" in w.cli("task", "log", task).out, "its output")
    return task, machine


def said(w, task):
    return [line.split("| ", 1)[1]
            for line in w.cli("task", "log", task).lines()]


def check_gated(w, task, machine):
    machine.touch("go")
    result = w.cli("task", "wait", task, code=5)
    assert "exit code 3" in result.err, result
    assert said(w, task) == ["begun", "late"]
    assert machine.lines("ran") == ["x"]


def test_a_tentacle_killed_in_mid_run_takes_it_up_again(w, gated):
    task, machine = gated
    for _ in range(2):
        machine.process.restart()
        w.wait_presence("machine", "web-03")
    check_gated(w, task, machine)


def test_a_run_that_ended_while_its_tentacle_was_away_is_told(w, gated):
    task, machine = gated
    assert machine.process.stop() == 0
    script = int(who(machine, "exec"))
    machine.touch("go")
    wait_until(lambda: not is_alive(script), "the script's end")
    machine.process.start()
    check_gated(w, task, machine)


def test_an_upgrade_in_mid_run_changes_nothing_for_it(w, gated, tmp_path):
    task, machine = gated
    # Another file of the same program, at another place, and back again.
    new = tmp_path / "longarm-tentacle"
    shutil.copy(BIN / "longarm-tentacle", new)
    shutil.copy(BIN / "longarm-guardian", tmp_path / "longarm-guardian")
    argv = machine.process.argv
    machine.process.kill()
    machine.process.argv = [str(new)] + argv[1:]
    machine.process.start()
    w.wait_presence("machine", "web-03")
    kill(machine, "shim")
    check_gated(w, task, machine)
    machine.process.argv = argv
    machine.process.restart()
    w.wait_presence("machine", "web-03")


def test_with_tentacle_and_one_guardian_killed_the_end_is_known(w, gated):
    task, machine = gated
    machine.process.kill()
    kill(machine, "supervisor")
    machine.process.start()
    check_gated(w, task, machine)


def test_with_both_guardians_killed_nobody_knows(w, gated):
    task, machine = gated
    kill(machine, "supervisor", "shim")
    machine.process.restart()
    w.wait_presence("machine", "web-03")
    # Something of it lives: that is no end.
    assert w.run_state(task, "web-03") == "running"
    machine.touch("go")
    result = w.cli("task", "wait", task, code=5)
    assert "nobody knows" in result.err, result
    [run] = w.runs(task).values()
    assert run["state"] == "unknown"
    told = [line for line in said(w, task) if "longarm: " not in line]
    assert told == ["begun", "late"]
    w.cli("run", "-m", "web-03", "--", "true")
    assert machine.lines("ran") == ["x"]


def test_a_cancel_reaches_a_script_after_a_restart(w, gated):
    task, machine = gated
    script = int(who(machine, "exec"))
    machine.process.restart()
    w.cli("task", "cancel", task)
    w.cli("task", "wait", task, code=6)
    assert not is_alive(script)


def test_a_server_that_is_stopped_politely_ends_well(w):
    assert w.server_process.stop() == 0
    w.cli("status", code=8)
    w.server_process.start()
    w.wait_for_server()
    for name in MACHINES:
        w.wait_presence("machine", name)
