"""Each row of the crash table, by failpoints: nothing lost, nothing twice.

The failing set of programs (test/failing/failing.h) dies at named places.  A
script leaves a line in a file each time it runs, and has output and an exit code
of its own; Row.check() compares these with what the server tells.  LONGARM_SOAK
plays all of it 20 times.

Which row is where: docs/developer.md.
"""
import os
import re
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from conftest import TIMES
from faults import Proxy
from harness import BIN, FAILING, wait_until

SANITIZED = "-" in BIN.parent.name
OTHER_BOOT = "00000000-1111-2222-3333-444444444444"


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


# --- The world --------------------------------------------------------------

MACHINES = [f"web-{i:02}" for i in range(1, 11)]
# Waits for `go` when there is a `gate`.
SCRIPT = ('echo x >>"$HOME/ran"; echo begun; '
          'while [ -e "$HOME/gate" ] && [ ! -e "$HOME/go" ]; do sleep 0.02; '
          'done; echo done; exit 3')


@pytest.fixture(scope="module")
def w(shared):
    shared.use_failing()
    shared.server()
    for name in MACHINES:
        shared.tentacle(name, wait=False)
    for name in MACHINES:
        shared.wait_presence("machine", name)
    return shared


@pytest.fixture(autouse=True)
def clean(request):
    yield
    if "w" not in request.fixturenames:
        return
    w = request.getfixturevalue("w")
    for fail in w.failpoints.values():
        for path in fail.directory.iterdir():
            path.unlink()
    for name in MACHINES:
        for left in ("ran", "gate", "go"):
            w.machines[name].path(left).unlink(missing_ok=True)


class Row:
    """One script on one machine, with something that dies meanwhile."""

    def __init__(self, w, name):
        self.w, self.machine, self.fail = w, w.machines[name], w.fail(name)
        self.task = None

    def start(self):
        self.machine.path("ran").unlink(missing_ok=True)
        self.task = self.w.start_run(SCRIPT, "-m", self.machine.name)
        return self

    def gate(self):
        self.machine.path("go").unlink(missing_ok=True)
        self.machine.touch("gate")
        return self

    def ran(self):
        return self.machine.lines("ran")

    def dead(self):
        process = self.machine.process
        wait_until(lambda: not process.is_running(), self.machine.name)
        return process

    def wait(self):
        result = self.w.cli("task", "wait", self.task, code=5)
        [run] = self.w.runs(self.task).values()
        return run, result

    def log(self):
        return [line.split("| ", 1)[-1] for line in
                self.w.cli("task", "log", self.task).lines()]

    def check(self, what):
        """It ran once, and all of it is told."""
        run, result = self.wait()
        told = (run["state"], run["exit_code"], self.ran(), self.log())
        assert told == ("failed", 3, ["x"], ["begun", "done"]), (what, result)

    def check_unknown(self, what, said):
        """It ran once, and all it said is kept; how it ended nobody knows."""
        run, result = self.wait()
        assert run["state"] == "unknown", (what, result)
        told = [line for line in self.log() if "longarm: " not in line]
        assert (self.ran(), told) == (["x"], said), what

    def kill(self, *roles):
        """Of its guardians' world, by what their record says."""
        record = max(self.machine.state.glob("runs/*/run-*/record"),
                     key=lambda path: path.stat().st_mtime)
        for role in roles:
            pid = wait_until(lambda: re.search(
                rf"^{role} .*?pid=(\d+) ", record.read_text(), re.M), role)
            os.kill(int(pid.group(1)), signal.SIGKILL)
        return record

    def lose_power(self):
        """Everything of this machine ends at once, and it boots anew."""
        self.machine.process.kill()
        self.kill("supervisor", "shim", "exec")
        self.boot()

    def boot(self):
        self.fail.set("boot_id", OTHER_BOOT)
        self.machine.process.start()


# A program ends with the thread that started it, so these stay.
POOL = ThreadPoolExecutor(len(MACHINES))


def play(w, rows, one):
    """one(Row, what) for each of rows, each on a machine of its own."""
    assert len(rows) <= len(MACHINES)
    for _ in range(TIMES):
        jobs = [POOL.submit(one, Row(w, name), what)
                for name, what in zip(MACHINES, rows)]
        for job in wait(jobs).done:
            job.result()


# --- The machine: rows 5 to 10, 14, 15, 17 ----------------------------------

@pytest.mark.sanitizer
def test_a_tentacle_that_dies_anywhere_ran_the_script_once(w):
    def one(row, what):
        row.fail.set(what)
        row.start()
        row.fail.wait(what)
        row.dead().start()
        row.check(what)
    play(w, ["ticket.ordered", "ticket.spec-written", "ticket.accepted",
             "ticket.answered", "script.prepared", "script.marked",
             "script.guarded", "script.over", "result.recorded",
             "ticket.forgotten"], one)


def test_a_guardian_that_dies_anywhere_leaves_the_end_known(w):
    def one(row, what):
        row.fail.set(what)
        row.start()
        row.fail.wait(what)
        row.check(what)
    play(w, ["supervisor.ready", "supervisor.watching", "shim.ready",
             "shim.watching", "shim.ended", "shim.recorded",
             "script.ready"], one)


def test_a_supervisor_that_took_over_may_not_die_before_it_has_written(w):
    def one(row, what):
        row.fail.set("shim.ended")
        row.fail.set(what)
        row.start()
        row.fail.wait(what)
        if what == "supervisor.ended":  # row 12: nobody saw its end
            row.check_unknown(what, ["begun", "done"])
        else:
            row.check(what)
    play(w, ["supervisor.ended", "supervisor.recorded"], one)


def test_without_an_exec_mark_it_is_started_again_three_times_at_most(w):
    def one(row, what):
        for _ in range(3):
            row.fail.set("script.ready", "pause")
            if row.task is None:
                row.start()
            row.fail.wait("script.ready")
            # All of them at once: nobody writes that it never ran.
            row.kill("supervisor", "shim")
            os.kill(int(row.fail.path("script.ready.reached").read_text()),
                    signal.SIGKILL)
            row.fail.path("script.ready.reached").unlink()
        run, result = row.wait()
        assert (run["state"], row.ran()) == ("failed", []), (what, result)
    play(w, ["three"], one)


def test_what_dies_between_mark_and_script_is_a_definite_end(w):
    """Row 13: a signal ended it, whether the script had begun or not."""
    def one(row, what):
        row.fail.set(what)
        row.start()
        row.fail.wait(what)
        run, result = row.wait()
        assert (run["state"], run["signal"], row.ran()) == (
            "failed", 9, []), (what, result)
    play(w, ["script.begun"], one)


def test_a_script_that_is_killed_has_a_definite_end(w):
    """Row 13, in the middle of it."""
    def one(row, what):
        row.gate().start()
        wait_until(lambda: row.log() == ["begun"], "its output")
        row.kill("exec")
        run, result = row.wait()
        assert (run["state"], run["signal"], row.ran(), row.log()) == (
            "failed", 9, ["x"], ["begun"]), (what, result)
    play(w, ["killed"], one)


def test_a_link_cut_within_an_order_is_one_run(w):
    """Row 4: it has arrived, or its answer is on the way."""
    proxy = Proxy(w, w.upstream(None))
    row = Row(w, w.tentacle("lined", proxy.address, dialled=False).name)
    for what in ["ticket.ordered", "ticket.answered"] * TIMES:
        row.fail.set(what, "pause")
        links = proxy.stat()["accepted"]
        row.start()
        row.fail.wait(what)
        proxy.tell("reset")
        wait_until(lambda: proxy.stat()["accepted"] > links, "another link")
        row.fail.clear(what)
        row.check(what)
    row.w.cli("machine", "remove", "lined")
    row.machine.process.end()
    proxy.end()
    del w.machines["lined"]


# --- Power loss: rows 21 to 23 (R16) -----------------------------------------

def test_power_lost_before_the_mark_starts_it_once(w):
    def one(row, what):
        row.fail.set(what)
        row.start()
        row.fail.wait(what)
        row.dead()
        row.boot()
        row.check(what)
    play(w, ["ticket.accepted", "script.prepared", "script.marked"], one)


def test_power_lost_with_guardians_and_no_mark_of_theirs_starts_it_once(w):
    """Row 21: they are there, and the script's process has not begun."""
    def one(row, what):
        row.fail.set(what, "pause")
        row.start()
        row.fail.wait(what)
        row.machine.process.kill()
        row.kill("supervisor", "shim")
        os.kill(int(row.fail.path(f"{what}.reached").read_text()),
                signal.SIGKILL)
        row.fail.clear(what)
        row.boot()
        row.check(what)
    play(w, ["script.ready"], one)


def test_power_lost_in_mid_run_is_unknown_and_never_repeated(w):
    def one(row, what):
        row.gate().start()
        wait_until(row.ran, "its mark")
        row.lose_power()
        row.check_unknown(what, ["begun"])
        # And nothing comes of it later.
        row.machine.process.restart()
        row.w.cli("run", "-m", row.machine.name, "--", "true")
        assert row.ran() == ["x"]
    play(w, ["mid-run"], one)


def test_power_lost_after_its_end_tells_it_and_what_is_missing(w):
    def one(row, what):
        row.gate().start()
        wait_until(row.ran, "its mark")
        row.machine.process.kill()
        row.fail.set("shim.recorded", "pause")
        row.machine.touch("go")
        row.fail.wait("shim.recorded")
        record = row.kill("supervisor", "shim")
        output = record.parent.parent / "output"
        os.truncate(output, len("begun\n"))
        row.boot()
        run, result = row.wait()
        assert (run["state"], run["exit_code"], row.ran()) == (
            "failed", 3, ["x"]), (what, result)
        said = row.log()
        assert said[0] == "begun" and "5 bytes of output" in said[-1], said
    play(w, ["shim.recorded"], one)


# --- The server: rows 1 to 4, 6, 16, 17 --------------------------------------

SERVER_ROWS = ["task.inserted", "task.committed", "task.claimed",
               "start.committed", "start.sent", "start.answered",
               "log.synced", "result.received", "result.committed"]
if SANITIZED:  # slow; the same code runs after each of them
    SERVER_ROWS = ["start.sent", "result.received"]


def tasks(w):
    return {task["id"] for task in w.json("task", "list", "--all")}


def remembered(w):
    return {path for name in MACHINES
            for path in (w.machines[name].state / "runs").iterdir()}


@pytest.mark.parametrize("what", SERVER_ROWS)
def test_a_server_that_dies_anywhere_runs_each_script_once(w, what):
    # What is unknown is kept for the person who looks into it.
    unknown = remembered(w)
    for _ in range(TIMES):
        rows = [Row(w, name) for name in MACHINES]
        for row in rows:
            row.machine.path("ran").unlink(missing_ok=True)
        fail = w.fail("server")
        before = tasks(w)
        fail.set(what)
        # The command itself asks again, under the same key.
        child = w.open_cli("run", "--detach", "--all", "--", SCRIPT)
        fail.wait(what)
        wait_until(lambda: not w.server_process.is_running(), "its end")
        w.server_process.start()
        w.wait_for_server()
        result = w.finish(child)
        assert result.code == 0, result
        task = result.out.strip()
        assert tasks(w) - before == {task}, what
        w.cli("task", "wait", task, code=5)
        for row in rows:
            run = w.runs(task)[(row.machine.name, "run")]
            assert (run["state"], run["exit_code"], row.ran()) == (
                "failed", 3, ["x"]), (what, row.machine.name)
        log = w.cli("task", "log", task).lines()
        assert sorted(log) == sorted(
            f"{name} run | {text}" for name in MACHINES
            for text in ("begun", "done")), what
    # The machines were not told that they may forget, and are now.
    w.cli("health", "run")
    wait_until(lambda: remembered(w) <= unknown, "nothing new remembered")


# --- Journal and clock: rows 25, 29 -------------------------------------------

@pytest.mark.soak
def test_a_torn_end_of_the_journal_is_dropped_and_damage_is_quarantine(w):
    row = Row(w, MACHINES[0])
    row.start().check("before")
    row.machine.process.stop()
    journal = row.machine.state / "journal"
    whole = journal.read_bytes()
    middle = len(whole) // 2
    row.gate().start()
    row.machine.process.start()
    wait_until(row.ran, "its mark")
    row.machine.process.kill()
    with open(journal, "ab") as file:
        file.write(b"\x40\x00half of a frame")
    row.machine.process.start()
    row.machine.touch("go")
    row.check("torn end")
    row.gate().start()
    wait_until(lambda: row.log() == ["begun"], "its output")
    row.machine.process.kill()
    good = journal.read_bytes()
    journal.write_bytes(good[:middle] + bytes([good[middle] ^ 1])
                        + good[middle + 1:])
    row.machine.process.start()
    # What was open is nobody's to know, and nothing new is begun.
    row.check_unknown("damage", ["begun"])
    row.machine.touch("go")
    refused = w.cli("run", "-m", row.machine.name, "--", "echo y >>$HOME/ran",
                    code=5)
    assert row.ran() == ["x"] and "journal" in refused.err, refused
    row.machine.process.stop()
    journal.write_bytes(good)
    row.machine.process.start()
    row.start().check("mended")
    assert w.row("machine", row.machine.name)["hold"] == ""
    # From the quarantine to an older copy.
    row.machine.process.stop()
    journal.write_bytes(good[:middle] + bytes([good[middle] ^ 1])
                        + good[middle + 1:])
    row.machine.process.start()
    w.cli("run", "-m", row.machine.name, "--", "true", code=5)
    row.machine.process.stop()
    journal.write_bytes(whole)
    row.machine.process.start()
    w.cli("run", "-m", row.machine.name, "--", "true", code=5)
    wait_until(lambda: w.row("machine", row.machine.name)["hold"] == "journal",
               "the hold")
    w.cli("machine", "release", row.machine.name)
    row.start().check("released")


# Back by more than five minutes is before our certificates.
@pytest.mark.parametrize("minutes", [25 * 60, -4])
def test_clocks_that_jump_end_nothing_and_start_nothing(w, minutes):
    jump = str(minutes * 60 * 1000)

    def one(row, what):
        row.gate().start()
        wait_until(row.ran, "its mark")
        row.fail.set("clock", jump)
        row.machine.touch("go")
        row.check(what)
    play(w, ["tentacle", "another"], one)
    row = Row(w, MACHINES[2]).gate().start()
    wait_until(row.ran, "its mark")
    w.fail("server").set("clock", jump)
    w.cli("run", "-m", MACHINES[3], "--", "true")  # the engine looks around
    row.machine.touch("go")
    row.check("server")
    w.fail("server").clear("clock")
