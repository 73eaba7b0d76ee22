"""Disks that are full, and disks that fail: a program refuses or stops, what was
acknowledged is there afterwards, and all works again when there is room (row 24).

A full disk is a small tmpfs in a mount namespace of its own; a failing sync comes
from the failing set of programs.  LONGARM_SOAK tries many more syncs.
"""
import os
import subprocess

import pytest

from conftest import drop_world, make_world
from harness import World, wait_until

SYNCS = range(1, 13) if "LONGARM_SOAK" in os.environ else (1, 2)
GATED = ('echo x >>"$HOME/ran"; echo begun; '
         'while [ ! -e "$HOME/go" ]; do sleep 0.02; done; exit 3')


class Disk:
    """A tmpfs at a path, for those programs alone that are told of the path."""

    def __init__(self, world, path, size):
        self.path, self.size, self.mounted = path, size, False
        self.holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "-Urm", "sh", "-c",
             "echo; exec sleep 100000"], stdout=subprocess.PIPE)
        self.holder.stdout.readline()
        world.processes.append(self)
        self.child = self.holder

    def end(self):
        self.holder.kill()
        self.holder.wait()

    def enter(self, argv):
        return ["nsenter", "-t", str(self.holder.pid), "-U", "-m",
                "--preserve-credentials", *argv]

    def of(self, argv):
        """argv, within when it is about this disk."""
        if not any(str(self.path) in str(word) for word in argv):
            return argv
        if not self.mounted:
            self.mounted = True
            self.path.mkdir(parents=True, exist_ok=True)
            subprocess.run(self.enter([
                "mount", "-t", "tmpfs", "-o",
                f"size={self.size},mode=700", "none", str(self.path)]),
                check=True)
        return self.enter(argv)

    def seen(self, name):
        """A file on it, from here."""
        return f"/proc/{self.holder.pid}/root{self.path}/{name}"

    def fill(self, leave=0):
        """Until so many bytes are free."""
        with open(self.seen("filler"), "ab") as file:
            step = 1 << 24
            while step >= 4096:
                free = os.fstatvfs(file.fileno())
                if free.f_bavail * free.f_frsize - leave < step:
                    step //= 2
                    continue
                try:  # others write, too
                    os.posix_fallocate(
                        file.fileno(), os.fstat(file.fileno()).st_size, step)
                except OSError:
                    step //= 2

    def free(self):
        os.unlink(self.seen("filler"))


class SmallWorld(World):
    """One in which a program's state may be on a Disk."""

    disks = ()

    def on(self, path, size):
        disk = Disk(self, path, size)
        self.disks = (*self.disks, disk)
        return disk

    def inside(self, argv):
        for disk in self.disks:
            argv = disk.of(argv)
        return argv

    def call(self, argv, **more):
        return super().call(self.inside(argv), **more)

    def spawn(self, name, argv):
        return super().spawn(name, self.inside(argv))


@pytest.fixture
def small():
    world = make_world(SmallWorld)
    yield world
    drop_world(world)


def test_a_machine_with_a_full_disk_ends_what_runs_and_takes_nothing_new(small):
    w = small
    w.server()
    disk = w.on(w.directory / "web-01" / "state", "80m")
    machine = w.tentacle("web-01")
    task = w.start_run(GATED, "-m", "web-01")
    wait_until(lambda: machine.lines("ran"), "the script")
    disk.fill(leave=32 << 20)
    result = w.cli("run", "-m", "web-01", "--", "echo y >>$HOME/ran", code=5)
    assert "bytes are free on this machine" in result.err, result
    disk.fill()
    machine.touch("go")
    result = w.cli("task", "wait", task, code=5)
    assert "exit code 3" in result.err, result
    assert machine.process.is_running()
    machine.process.restart()
    assert w.run_state(task, "web-01") == "failed"
    disk.free()
    w.cli("run", "-m", "web-01", "--", "echo z >>$HOME/ran")
    assert machine.lines("ran") == ["x", "z"]


def test_a_server_with_a_full_disk_keeps_what_it_has_acknowledged(small):
    w = small
    disk = w.on(w.state, "24m")
    w.server()
    machine = w.tentacle("web-01")
    done = w.start_run("exit 7", "-m", "web-01")
    w.cli("task", "wait", done, code=5)
    task = w.start_run(GATED, "-m", "web-01")
    wait_until(lambda: machine.lines("ran"), "the script")
    disk.fill()
    machine.touch("go")
    # What it cannot keep it does not accept, and it says so or stops.
    accepted = {}
    for n in range(40):
        result = w.cli("run", "--detach", "-m", "web-01", "--",
                       f"echo no-{n} >>$HOME/ran; : " + "x" * 20000, code=None)
        if result.code != 0:
            break
        accepted[n] = result.out.strip()
    assert ("disk is full" in result.err
            or not w.server_process.is_running()), result
    disk.free()
    if not w.server_process.is_running():
        w.server_process.start()
    w.wait_for_server()
    result = w.cli("task", "wait", task, code=5)
    assert "exit code 3" in result.err, result
    [run] = w.runs(done).values()
    assert run["exit_code"] == 7
    for one in accepted.values():
        w.cli("task", "wait", one)
    # Each that was accepted, once, and nothing else.
    w.cli("run", "-m", "web-01", "--", "echo z >>$HOME/ran")
    ran = machine.lines("ran")
    assert (ran[0], ran[-1]) == ("x", "z"), ran
    assert sorted(ran[1:-1]) == sorted(f"no-{n}" for n in accepted), ran


# --- Syncs that fail -------------------------------------------------------------

@pytest.fixture(scope="module")
def w(shared):
    shared.use_failing()
    shared.server()
    shared.tentacle("web-01")
    return shared


def check_once(w, task):
    result = w.cli("task", "wait", task, code=5)
    assert "exit code 3" in result.err, result
    machine = w.machines["web-01"]
    assert machine.lines("ran") == ["x"]
    machine.path("ran").unlink()


@pytest.mark.parametrize("sync", SYNCS)
def test_a_machine_whose_sync_fails_stops_and_loses_nothing(w, sync):
    machine, fail = w.machines["web-01"], w.fail("web-01")
    machine.touch("go")
    fail.set("fsync", f"fail {sync} journal")
    task = w.start_run(GATED, "-m", "web-01")
    wait_until(lambda: not machine.process.is_running(), "its end")
    assert machine.process.child.returncode == 1
    fail.clear("fsync")
    machine.process.start()
    check_once(w, task)


@pytest.mark.parametrize("path", ["longarm.db", "logs"])
@pytest.mark.parametrize("sync", SYNCS)
def test_a_server_whose_sync_fails_stops_and_loses_nothing(w, sync, path):
    machine, fail = w.machines["web-01"], w.fail("server")
    machine.touch("go")
    fail.set("fsync", f"fail {sync} {path}")
    # It asks again by itself.
    child = w.open_cli("run", "--detach", "-m", "web-01", "--", GATED)
    wait_until(lambda: not w.server_process.is_running(), "its end")
    assert w.server_process.child.returncode == 1
    fail.clear("fsync")
    w.server_process.start()
    w.wait_for_server()
    result = w.finish(child)
    assert result.code == 0, result
    check_once(w, result.out.strip())
