"""Each row of the crash table, by failpoints: nothing lost, nothing twice.

The failing set of programs (test/failing/failing.h) dies at named places.
"""
import os
import subprocess

import pytest

from harness import BIN, FAILING, wait_until

SANITIZED = "-" in BIN.parent.name


@pytest.mark.skipif(SANITIZED, reason="sanitizers add calls")
@pytest.mark.parametrize("path", ["common", "static/common"])
def test_in_what_is_shipped_failpoints_do_nothing(path):
    if not (BIN.parent / path).exists():
        pytest.skip("only programs are here")
    names = subprocess.run(["nm", BIN.parent / path / "failpoint.o"],
                           capture_output=True, text=True, check=True)
    # One function, which calls nothing and looks at nothing.
    assert [line.split()[1:] for line in names.stdout.splitlines()] == [
        ["T", "failpoint"]]


@pytest.mark.parametrize(
    "program", ["longarm-server", "longarm-relay", "longarm-tentacle",
                "longarm-guardian"])
def test_nothing_of_the_failing_set_is_in_a_shipped_program(program):
    for word in (b"LONGARM_FAILPOINTS", b"mutant."):
        assert word in (FAILING / program).read_bytes()
        assert word not in (BIN / program).read_bytes()


@pytest.fixture(scope="module")
def w(shared):
    shared.use_failing()
    shared.server()
    shared.tentacle("web-01")
    return shared


@pytest.fixture(autouse=True)
def clean(w):
    yield
    for machine in w.machines.values():
        for path in machine.home.glob("ran*"):
            path.unlink()


def run_with(w, name, what="abort", restart=True):
    """A task of a script that leaves one line; the tentacle dies at name."""
    machine, fail = w.machines["web-01"], w.fail("web-01")
    fail.set(name, what)
    task = w.start_run('echo x >>"$HOME/ran"; exit 3', "-m", "web-01")
    fail.wait(name)
    if restart:
        wait_until(lambda: not machine.process.is_running(), "its end")
        machine.process.start()
    return task


def check_once(w, task, code=5):
    result = w.cli("task", "wait", task, code=code)
    [run] = w.runs(task).values()
    assert (run["state"], run["exit_code"]) == ("failed", 3), result
    assert w.machines["web-01"].lines("ran") == ["x"]


@pytest.mark.parametrize("name", [
    "ticket.ordered", "ticket.spec-written", "ticket.accepted",
    "ticket.answered", "script.prepared", "script.marked", "script.guarded",
    "script.over", "result.recorded"])
def test_a_tentacle_that_dies_there_ran_the_script_once(w, name):
    check_once(w, run_with(w, name))


@pytest.mark.parametrize("name", [
    "supervisor.ready", "shim.ready", "script.ready", "supervisor.watching",
    "shim.watching", "shim.ended", "shim.recorded"])
def test_a_guardian_that_dies_there_leaves_the_end_known(w, name):
    check_once(w, run_with(w, name, restart=False))
