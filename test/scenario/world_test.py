"""What a script may do to its machine: within limits, as a user, and what is
left of it when it ends."""
import os
import pathlib
import time

import pytest

from harness import SLOW, wait_until

GROUPS = pathlib.Path("/sys/fs/cgroup")


@pytest.fixture(scope="module")
def w(shared):
    shared.server()
    shared.tentacle("web-01")
    return shared


def groups_of(w, task):
    """The control groups of a task's run that are there."""
    ticket = next(iter(w.runs(task).values()))["ticket"]
    # Not glob(): groups of others come and go meanwhile.
    return [name for _, names, _ in os.walk(GROUPS) for name in names
            if name.startswith("longarm-") and ticket in name]


def may_limit():
    """Root, and this system has what limits need, in either version."""
    def is_open(path):
        return path.is_dir() and os.access(path, os.W_OK)
    top = GROUPS / "cgroup.controllers"
    return os.geteuid() == 0 and (
        all(is_open(GROUPS / name) for name in ("memory", "pids"))
        or top.exists() and is_open(GROUPS)
        and {"memory", "pids"} <= set(top.read_text().split()))


def needs_limits(w):
    result = w.cli("run", "-m", "web-01", "--memory", "64MiB", "--processes",
                   "50", "--", "true", code=None)
    if result.code != 0:
        assert "cannot keep its limits" in result.err, result
        assert not may_limit(), result
        pytest.skip("no control groups here")


def answers_soon(w, seconds=1.0):
    """Another script is run, start to end, while that one rages; on a busy
    host the best of three counts."""
    took = []
    for _ in range(3):
        began = time.monotonic()
        w.cli("run", "-m", "web-01", "--", "true")
        took.append(time.monotonic() - began)
        if took[-1] < seconds * SLOW:
            return
    raise AssertionError(took)


def test_a_script_that_eats_memory_dies_alone(w):
    needs_limits(w)
    task = w.start_run("exec tail /dev/zero", "-m", "web-01", "--memory",
                       "64MiB")
    answers_soon(w)
    result = w.cli("task", "wait", task, code=5)
    assert "killed: out of memory (limit 64 MiB)" in result.err, result
    run = w.runs(task)["web-01", "run"]
    assert run["fault"]["code"] == "out-of-memory" and run["signal"] == 9
    assert w.machines["web-01"].process.is_running()
    wait_until(lambda: not groups_of(w, task), "no group")


BOMB = """
import os, time
while True:
    try:
        os.fork()
    except OSError:
        print("full", flush=True)
        time.sleep(0.2)
"""


def test_a_fork_bomb_stays_in_its_box(w):
    needs_limits(w)
    task = w.start_run(BOMB, "-m", "web-01", "--processes", "64",
                       "--script-timeout", "2s", "--interpreter",
                       "/usr/bin/python3")
    wait_until(lambda: "full" in w.cli("task", "log", task).out, "the bomb")
    answers_soon(w)
    w.cli("task", "wait", task, code=5)
    wait_until(lambda: not groups_of(w, task), "no group")


def test_each_end_has_a_code_of_its_own(w):
    for body, words, code in (
            ("exit 3", (), "script-failed"),
            ("kill -SEGV $$", (), "script-failed"),
            ("sleep 60", ("--script-timeout", "1s"), "timed-out")):
        task = w.start_run(body, "-m", "web-01", *words)
        w.wait_task(task, "failed")
        run = w.runs(task)["web-01", "run"]
        assert run["fault"]["code"] == code
        assert (run["signal"] == 11) == ("SEGV" in body), run


def test_a_grandchild_that_keeps_the_output_delays_nothing(w):
    began = time.monotonic()
    w.cli("run", "-m", "web-01", "--", 'sleep 300 & echo $! >"$HOME/left"')
    assert time.monotonic() - began < 5 * SLOW
    os.kill(int(w.machines["web-01"].read("left")), 9)


def test_a_cancelled_script_leaves_nobody_in_its_group(w):
    task = w.start_run('setsid sh -c \'trap "" TERM; echo $$ >"$HOME/deep"; '
                       'while :; do sleep 1; done\' & wait', "-m", "web-01")
    machine = w.machines["web-01"]
    pid = wait_until(lambda: machine.read("deep").strip(), "the daemon")
    w.cli("task", "cancel", task)
    w.cli("task", "wait", task, code=6)
    assert not os.path.exists(f"/proc/{pid}")
    wait_until(lambda: not groups_of(w, task), "no group")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes others")
def test_a_script_runs_as_the_user_named(w):
    # Its own directory must be reachable: a test's are not.
    apps = w.machines["web-01"].apps
    w.directory.chmod(0o755)
    result = w.cli("run", "-m", "web-01", "--user", "nobody", "--",
                   "id -un; pwd; echo mine >file; ls -l file")
    assert "nobody" in result.out and ".worlds" in result.out, result
    wait_until(lambda: not list((apps / ".worlds").iterdir()), "no world")


def test_an_unknown_user_is_refused_in_words(w):
    result = w.cli("run", "-m", "web-01", "--user", "nosuchuser", "--", "true",
                   code=5)
    assert "there is no user 'nosuchuser'" in result.err, result
