"""A tentacle is two processes: one has the network, the other obeys."""
import os
import re
import signal
import subprocess

import pytest

from harness import BIN, LARGE, LINK_TIMERS, TENTACLE_TIMERS, flags, wait_until

NOBODY = 65534

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can make itself another user")


@pytest.fixture(scope="module")
def w(shared):
    shared.server()
    shared.relay("dc2-a")
    shared.tentacle("web-01", via="dc2-a",
                    settings={"tentacle.net-user": "nobody"})
    shared.tentacle("web-02", dialled=False,
                    settings={"tentacle.net-user": "nobody"})
    return shared


def status(pid):
    """What the kernel says of a process and each of its threads."""
    tasks = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as f:
            tasks.append(dict(line.rstrip("\n").split(":\t", 1)
                              for line in f if ":\t" in line))
    return tasks


def open_files(pid):
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            pass
    return found


def network_sockets(pid):
    """Those of its descriptors that are sockets of IPv4 or IPv6."""
    inodes = set()
    for name in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet"):
        with open(f"/proc/{pid}/net/{name}", encoding="ascii") as f:
            inodes |= {f"socket:[{word}]" for line in f
                       for word in line.split()[8:]}
    return [f for f in open_files(pid) if f in inodes]


@pytest.mark.parametrize("name", ["web-01", "web-02"])
def test_the_network_process_is_another_user_with_no_rights(w, name):
    process = w.machines[name].process
    net = process.network_pid()
    for task in status(net):
        assert task["Uid"].split() == [str(NOBODY)] * 4, task
        assert task["Groups"].strip() == "", task
        for rights in ("CapEff", "CapPrm", "CapInh"):
            assert int(task[rights], 16) == 0, task
        if LARGE == 1:
            assert task["Seccomp"] == "2" and task["NoNewPrivs"] == "1", task
    for task in status(process.child.pid):
        # Scripts inherit what the other one has.
        assert task["Uid"].split() == ["0"] * 4, task
        assert task["Seccomp"] == "0" and task["NoNewPrivs"] == "0", task
    assert network_sockets(net)
    assert not network_sockets(process.child.pid)
    state = str(w.machines[name].state)
    assert not [f for f in open_files(net) if f.startswith(state)]
    assert [f for f in open_files(process.child.pid) if f.startswith(state)]


def test_its_user_can_read_nothing_of_the_other(w):
    state = w.machines["web-01"].state
    w.directory.chmod(0o711)
    for path in (state, state / "identity/key.pem", state / "journal",
                 f"/proc/{w.machines['web-01'].process.child.pid}/mem"):
        found = subprocess.run(
            ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}",
             "--clear-groups", "head", "-c1", str(path)],
            capture_output=True, text=True, check=False)
        assert found.returncode != 0, path
        assert "denied" in found.stderr, found


@pytest.mark.parametrize("name", ["web-01", "web-02"])
def test_what_runs_does_not_notice_that_the_network_process_is_killed(w, name):
    machine = w.machines[name]
    child = w.open_cli("run", "-m", name, "--", (
        f"touch {machine.path('began')}; for i in $(seq 2000); do "
        f"echo line $i; done; until [ -e {machine.path('go')} ]; do "
        "sleep 0.02; done; for i in $(seq 2001 4000); do echo line $i; done"))
    wait_until(machine.path("began").exists, "the script begins")
    before, exec_pid = machine.process.network_pid(), machine.process.child.pid
    os.kill(before, signal.SIGKILL)
    net = wait_until(lambda: (lambda p: p != before and p)(
        machine.process.network_pid()), "another network process")
    wait_until(lambda: status(net)[0]["Uid"].split()[0] == str(NOBODY),
               "it is nobody, too")
    machine.touch("go")
    out, err = child.communicate(timeout=90)
    assert child.returncode == 0, (out, err)
    found = re.findall(r"line (\d+)", out)
    assert found == [str(i) for i in range(1, 4001)], (len(found), err)
    assert machine.process.is_running()
    assert machine.process.child.pid == exec_pid
    assert "another is started" in machine.process.text()
    w.wait_presence("machine", name)
    assert w.json("machine", "show", name)["health"] != "unhealthy"


def test_when_the_other_is_killed_it_ends_and_the_next_one_adopts(w):
    machine = w.machines["web-01"]
    machine.path("go").unlink(missing_ok=True)
    child = w.open_cli("run", "-m", "web-01", "--", (
        f"echo before; touch {machine.path('began-2')}; "
        f"until [ -e {machine.path('go')} ]; do sleep 0.02; done; "
        "echo after"))
    wait_until(machine.path("began-2").exists, "the script begins")
    net = machine.process.network_pid()
    machine.process.kill()
    wait_until(lambda: not os.path.exists(f"/proc/{net}"), "its end", 5)
    machine.process.start()
    machine.touch("go")
    out, err = child.communicate(timeout=90)
    assert child.returncode == 0, (out, err)
    assert re.findall(r"before|after", out) == ["before", "after"], out


def test_told_to_stop_both_end(w):
    process = w.machines["web-02"].process
    net = process.network_pid()
    assert process.stop() == 0
    assert not os.path.exists(f"/proc/{net}")
    process.start()
    w.wait_presence("machine", "web-02")


def test_a_user_that_does_not_exist_is_said_at_once(w):
    machine = w.join("web-03", None, dialled=False)
    ended = w.call(["longarm-tentacle", "run", "--state", str(machine.state),
                    "--set", "tentacle.net-user=longarm-none"])
    assert ended.code == 1, ended
    assert "net-user" in ended.err and "longarm-none" in ended.err, ended


def test_the_network_process_is_not_for_people(w):
    ended = w.call(["longarm-tentacle", "net"])
    assert ended.code == 1 and "longarm-tentacle run" in ended.err, ended


def test_without_root_both_are_one_user_and_that_is_said(w):
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}",
              "--clear-groups"]
    if subprocess.run(become + ["test", "-x", str(BIN / "longarm-tentacle")],
                      check=False).returncode != 0:
        pytest.skip("the programs are where only root can run them")
    machine = w.join("web-04", "dc2-a", dialled=False)
    w.directory.chmod(0o711)
    for path in [machine.home, *machine.home.rglob("*")]:
        os.chown(path, NOBODY, NOBODY)
    machine.process = w.spawn("web-04", become + [
        "longarm-tentacle", "run", "--state", str(machine.state)]
        + flags({"tentacle.apps": machine.apps, "tentacle.home": machine.home}
                | TENTACLE_TIMERS | LINK_TIMERS))
    w.wait_presence("machine", "web-04")
    for pid in (machine.process.child.pid, machine.process.network_pid()):
        assert {t["Uid"].split()[1] for t in status(pid)} == {str(NOBODY)}
    assert "as one user: it takes root" in machine.process.text()
    assert w.cli("run", "-m", "web-04", "--", "id -u").lines()[0] == (
        f"web-04 run | {NOBODY}")
