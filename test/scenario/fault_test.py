"""What cannot work says why: its own words and its own exit code."""
import pytest

from conftest import drop_world, make_world
from harness import free_port, wait_until


@pytest.fixture(scope="module")
def w(shared):
    shared.server()
    shared.relay("dc2-a")
    shared.tentacle("web-01", via="dc2-a")
    shared.tentacle("web-02", via="dc2-a")
    shared.tentacle("direct")
    return shared


def refused(w, machine, code=9):
    return w.cli("run", "-m", machine, "--queue", "1s", "--", "true",
                 code=code).err


def test_a_machine_that_is_down(w):
    machine = w.machines["web-02"]
    machine.process.stop()
    err = refused(w, "web-02")
    assert "web-02" in err and machine.address() in err, err
    assert "dc2-a" in err and "refused" in err, err
    machine.process.start()
    w.wait_presence("machine", "web-02")
    w.cli("run", "-m", "web-02", "--", "true")


def test_a_machine_that_is_down_without_a_relay(w):
    machine = w.machines["direct"]
    machine.process.stop()
    err = refused(w, "direct")
    assert "direct" in err and machine.address() in err, err
    machine.process.start()
    w.wait_presence("machine", "direct")


def test_work_waits_for_a_machine_that_comes_back(w):
    machine = w.machines["web-02"]
    machine.process.stop()
    w.wait_presence("machine", "web-02", "offline")
    task = w.start_run("echo back", "-m", "web-02", "--queue", "60s")
    wait_until(lambda: w.task(task)["state"] == "running", "the task")
    machine.process.start()
    w.cli("task", "wait", task)
    assert "back" in w.cli("task", "log", task).out


def test_a_relay_that_is_down(w):
    w.relays["dc2-a"].kill()
    w.wait_presence("relay", "dc2-a", "offline")
    err = refused(w, "web-01")
    assert "web-01" in err and "dc2-a" in err, err
    assert "relay" in err and "not connected" in err, err
    # Who needs no relay is not bothered.
    w.cli("run", "-m", "direct", "--", "true")
    w.relays["dc2-a"].start()
    w.wait_presence("machine", "web-01")


def test_another_machine_at_the_address(w):
    right = w.machines["direct"].address()
    w.cli("machine", "set-route", "direct",
          f"dc2-a={w.machines['web-01'].address()}")
    # The old way is good until the machine has heard of the new one.
    w.wait_presence("machine", "direct", "offline")
    err = refused(w, "direct")
    assert "direct" in err, err
    assert "answered, not" in err and "check the route" in err, err
    w.cli("machine", "set-route", "direct", f"direct={right}")
    w.wait_presence("machine", "direct")
    w.cli("run", "-m", "direct", "--", "true")


def test_a_machine_of_another_cluster_at_the_address(w):
    other = make_world()
    try:
        other.server()
        stranger = other.tentacle("stranger")
        right = w.machines["direct"].address()
        w.cli("machine", "set-route", "direct", f"direct={stranger.address()}")
        err = refused(w, "direct")
        assert "certificate" in err or "cluster" in err, err
        w.cli("machine", "set-route", "direct", f"direct={right}")
        w.wait_presence("machine", "direct")
    finally:
        drop_world(other)


def test_no_listener_at_the_address(w):
    right = w.machines["direct"].address()
    nowhere = f"127.0.0.1:{free_port()}"
    w.cli("machine", "set-route", "direct", f"direct={nowhere}")
    err = refused(w, "direct")
    assert nowhere in err and "refused" in err, err
    w.cli("machine", "set-route", "direct", f"direct={right}")
    w.wait_presence("machine", "direct")


def test_a_disabled_machine_gets_no_work(w):
    w.cli("machine", "disable", "web-02")
    result = w.cli("run", "-m", "web-02", "--", "true", code=None)
    assert result.code == 1 and "disabled" in result.err, result
    w.cli("machine", "enable", "web-02")


def test_a_removed_machine_is_not_let_in_again(w):
    machine = w.tentacle("leaving", via="dc2-a")
    w.cli("machine", "remove", "leaving")
    w.cli("run", "-m", "leaving", "--", "true", code=3)
    machine.process.restart()
    wait_until(lambda: "not-permitted" in machine.process.text()
               or "revoked" in machine.process.text()
               or "dc2-a" in machine.process.text(), "a word about it")
    assert w.row("machine", "leaving") is None


def test_route_explain_names_each_hop(w):
    text = w.cli("route", "explain", "web-01").out
    assert "dc2-a" in text


@pytest.mark.soak
def test_a_machine_whose_disk_was_set_back_is_held_until_released(w):
    """Row 26, with a script in the middle."""
    machine = w.machines["web-02"]
    for left in ("ran", "go"):
        machine.path(left).unlink(missing_ok=True)
    machine.process.stop()
    journal = machine.state / "journal"
    before = journal.read_bytes()
    machine.process.start()
    w.wait_presence("machine", "web-02")
    task = w.start_run(
        'echo x >>"$HOME/ran"; while [ ! -e "$HOME/go" ]; do sleep 0.02; done',
        "-m", "web-02")
    wait_until(lambda: w.run_state(task, "web-02") == "running"
               and machine.lines("ran"), "the script")
    machine.process.stop()
    journal.write_bytes(before)
    machine.process.start()
    w.wait_presence("machine", "web-02")
    # It greets with its journal when it is asked for something.
    err = refused(w, "web-02", code=5)
    assert "web-02" in err and "held" in err, err
    result = w.cli("task", "wait", task, code=5)
    assert w.run_state(task, "web-02") == "unknown", result
    machine.touch("go")
    wait_until(lambda: w.row("machine", "web-02")["hold"] == "journal",
               "the hold")
    err = refused(w, "web-02", code=5)
    assert "web-02" in err and "is held" in err, err
    assert "longarm machine release" in err, err
    w.cli("machine", "release", "web-02")
    w.cli("run", "-m", "web-02", "--", "true")
    assert w.row("machine", "web-02")["hold"] == ""
    assert machine.lines("ran") == ["x"]
    assert w.run_state(task, "web-02") == "unknown"
    err = w.cli("machine", "release", "web-02", code=1).err
    assert "not held" in err, err
