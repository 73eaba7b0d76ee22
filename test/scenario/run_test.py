"""Ad-hoc scripts: output as it comes, and an exit code for every outcome."""
import os
import time

import pytest

import swarm
from harness import wait_until


@pytest.fixture(scope="module")
def w(shared):
    shared.server()
    shared.relay("dc2-a")
    for name in ("web-01", "web-02"):
        shared.tentacle(name, via="dc2-a", settings={
            "tentacle.running": 1, "tentacle.open": 2})
    return shared


def newest(w):
    return w.json("task", "list")[0]["id"]


def exit_codes(w, task):
    """Those of its runs; null where none ended with one."""
    return [run["exit_code"] for run in w.task(task)["runs"]]


GATE = 'while [ ! -e "$HOME/go" ]; do sleep 0.02; done'


@pytest.mark.sanitizer
@pytest.mark.tsan
def test_a_script_runs_on_every_machine_of_a_role(w):
    result = w.cli("run", "--environment", "prod", "--role", "web", "--",
                   "echo $Machine says hello; echo and more >&2")
    for name in ("web-01", "web-02"):
        assert f"{name} says hello" in result.out
    assert result.out.count("and more") == 2
    task = w.json("task", "show", "task-1")
    now = time.time() * 1000
    assert now - 600000 < task["created_ms"] <= task["started_ms"] <= now
    assert exit_codes(w, "task-1") == [0, 0]
    for run in task["runs"]:
        assert task["started_ms"] <= run["starting_ms"] <= run["ended_ms"]
        assert run["ended_ms"] <= task["ended_ms"] <= now


def test_output_is_streamed_while_the_script_runs(w):
    machine = w.machines["web-01"]
    child = w.open_cli("run", "-m", "web-01", "--",
                       f"echo early; {GATE}; echo late")
    assert "early" in child.stdout.readline()
    assert child.poll() is None
    machine.touch("go")
    result = w.finish(child)
    assert result.code == 0 and "late" in result.out, result
    machine.path("go").unlink()


def test_a_script_file_may_have_any_interpreter(w):
    file = w.office / "which.py"
    file.write_text("#!/usr/bin/python3\nprint(6 * 7)\n")
    assert "42" in w.cli("run", "-m", "web-01", "--file", file).out


def test_much_output_arrives_whole_and_in_order(w):
    out = w.cli("run", "-m", "web-01", "--", "seq 1 50000").out
    numbers = [line.rsplit(" ", 1)[1] for line in out.splitlines()]
    assert numbers == [str(n) for n in range(1, 50001)]


def test_a_failing_script_fails_the_task_with_its_exit_code(w):
    result = w.cli("run", "-m", "web-01", "--", "echo oh; exit 7", code=5)
    assert "7" in result.err and "web-01" in result.err
    assert "oh" in result.out
    assert exit_codes(w, newest(w)) == [7]


def test_one_failure_of_two_is_a_partial_success(w):
    result = w.cli("run", "--all", "--", '[ "$Machine" = web-01 ]', code=10)
    assert "web-02" in result.err


def test_a_script_over_its_time_is_stopped(w):
    result = w.cli("run", "-m", "web-01", "--script-timeout", "1s", "--",
                   "sleep 60", code=5)
    assert "time" in result.err


def test_a_cancelled_script_is_stopped_with_all_that_it_started(w):
    machine = w.machines["web-01"]
    task = w.start_run('sleep 61 & echo $! >"$HOME/child"; '
                       'echo $$ >"$HOME/pid"; wait', "-m", "web-01")
    pid = wait_until(lambda: machine.read("pid").strip(), "the script")
    child = machine.read("child").strip()
    assert exit_codes(w, task) == [None]
    w.cli("task", "cancel", task)
    result = w.cli("task", "wait", task, code=6)
    assert "cancelled" in result.err
    assert exit_codes(w, task) == [None]
    wait_until(lambda: not any(os.path.exists(f"/proc/{p}")
                               for p in (pid, child)), "both gone")


def test_waiting_can_time_out_and_the_task_goes_on(w):
    machine = w.machines["web-01"]
    task = w.start_run(GATE, "-m", "web-01")
    result = w.cli("task", "wait", task, "--timeout", "1s", code=7)
    assert task in result.err
    machine.touch("go")
    w.cli("task", "wait", task)
    machine.path("go").unlink()


def test_an_interrupt_detaches_and_says_how_to_come_back(w):
    machine = w.machines["web-01"]
    child = w.open_cli("run", "-m", "web-01", "--", f"echo begun; {GATE}")
    assert "begun" in child.stdout.readline()
    child.send_signal(2)
    result = w.finish(child)
    assert result.code == 130 and "longarm task log -f" in result.err, result
    machine.touch("go")
    task = result.err.split("longarm task log -f ")[1].split()[0]
    w.cli("task", "wait", task)
    machine.path("go").unlink()


def test_an_unknown_machine_is_not_found(w):
    result = w.cli("run", "-m", "nobody", "--", "true", code=3)
    assert "nobody" in result.err


def test_an_unknown_role_is_told(w):
    result = w.cli("run", "--role", "nothing", "--", "true", code=None)
    assert result.code in (1, 3) and "nothing" in result.err, result


def test_wrong_usage_names_what_was_meant(w):
    result = w.cli("run", "--enviroment", "prod", "--", "true", code=2)
    assert "--environment" in result.err


def test_a_machine_with_a_full_queue_says_so(w):
    machine = w.machines["web-01"]
    tasks = [w.start_run(GATE, "-m", "web-01") for _ in range(2)]
    for task in tasks:
        wait_until(lambda: w.run_state(task, "web-01") == "running",
                   "accepted")
    result = w.cli("run", "-m", "web-01", "--queue", "1s", "--", "true",
                   code=None)
    machine.touch("go")
    for task in tasks:
        w.cli("task", "wait", task)
    machine.path("go").unlink()
    assert result.code in (5, 9), result
    assert "web-01" in result.err and "2" in result.err, result
    assert "tentacle.open" in result.err, result


def test_a_log_can_be_read_again_when_all_is_over(w):
    task = w.start_run("echo once; echo more", "-m", "web-02")
    w.cli("task", "wait", task)
    log = w.cli("task", "log", task).out
    assert [line.rsplit("| ", 1)[1] for line in log.splitlines()] == [
        "once", "more"]


def test_an_answer_of_the_server_waits_for_no_acknowledgement(w):
    """Head and body go out in two writes; the kernel would hold the second back
    for 40 ms each, until the client acknowledges the first."""
    api = swarm.Api(w)

    def hundred():
        began = time.monotonic()
        for _ in range(100):
            api.get("/api/v1/relays")
        return time.monotonic() - began

    # Held back, each but the first few takes 40 ms, on any machine.
    assert min(hundred() for _ in range(3)) < 2.5
