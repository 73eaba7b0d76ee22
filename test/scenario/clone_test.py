"""Two copies of one machine: found, held without work, released by a person.
And no honest machine is ever taken for one.

    LONGARM_SOAK=N    N places in each direction of a greet (make soak)
"""
import os
import shutil
import subprocess

import pytest

from faults import Proxy
from harness import (LINK_TIMERS, RELAY_TIMERS, TENTACLE_TIMERS, flags,
                     wait_until)

PLACES = int(os.environ.get("LONGARM_SOAK", "0")) or 8


@pytest.fixture(scope="module")
def w(shared):
    shared.server()
    shared.relay("dc2-a")
    return shared


def hold(w, name):
    return w.row("machine", name)["hold"]


def wait_for_hold(w, name):
    wait_until(lambda: hold(w, name) == "clone", f"{name} held")


def start(w, machine, state, name):
    """Another process on another directory of state."""
    return w.spawn(name, [
        "longarm-tentacle", "run", "--state", str(state)]
        + flags({"tentacle.apps": machine.apps, "tentacle.home": machine.home}
                | TENTACLE_TIMERS | LINK_TIMERS))


def copy_of(machine, name="copy"):
    path = machine.home / name
    # With pipes, as a snapshot would.
    subprocess.run(["cp", "-a", machine.state, path], check=True)
    return path


def settled(w, name):
    """Its instance has greeted, and confirmed its token."""
    w.wait_presence("machine", name)
    w.cli("run", "-m", name, "--", "true")


def lives(w, name):
    return {one["known"]: one
            for one in w.json("machine", "show", name)["instances"]}


@pytest.mark.sanitizer
@pytest.mark.parametrize("via", [None, "dc2-a"])
def test_a_copy_started_beside_the_original_holds_both(w, via):
    name = f"twin-{via or 'direct'}"
    machine = w.tentacle(name, via=via, dialled=False)
    settled(w, name)
    task = w.start_run("sleep 60", "-m", name)
    w.wait_task(task, "running")
    wait_until(lambda: w.run_state(task, name) == "running", "the script")
    copy = start(w, machine, copy_of(machine), f"{name}-copy")
    wait_for_hold(w, name)
    # What ran may have ended on either of them: nobody knows.
    wait_until(lambda: w.run_state(task, name) == "unknown", "unknown")
    refused = w.cli("run", "-m", name, "--", "touch $HOME/worked", code=None)
    assert refused.code == 5 and "is held" in refused.err, refused
    assert not machine.path("worked").exists()
    shown = w.cli("machine", "show", name)
    assert "two copies" in shown.err, shown
    both = lives(w, name)
    assert set(both) == {True, False}
    for one in both.values():
        assert one["instance"] in shown.err, shown
        assert ("dc2-a" if via else "127.0.0.1") in one["via"], one
    # The original is the one that the copy, a later start, has pushed out.
    copy.stop()
    original = both[False]["instance"]
    w.cli("machine", "release", name, "--instance", original)
    settled(w, name)
    assert hold(w, name) == ""
    assert lives(w, name) == {}
    # The other one is no more welcome than before.
    machine.process.stop()
    copy.start()
    wait_for_hold(w, name)
    err = w.cli("machine", "release", name, "--instance", "nobody",
                code=3).err
    assert "not found" in err, err
    copy.stop()
    w.cli("machine", "remove", name)


def test_a_disk_that_was_set_back_is_held_and_may_go_on(w):
    machine = w.tentacle("snapshot", dialled=False)
    settled(w, "snapshot")
    machine.process.stop()
    snapshot = copy_of(machine)
    for _ in range(2):
        machine.process.start()
        settled(w, "snapshot")
        machine.process.stop()
    shutil.rmtree(machine.state)
    snapshot.rename(machine.state)
    machine.process.start()
    wait_for_hold(w, "snapshot")
    advice = w.cli("machine", "show", "snapshot").err
    assert "longarm machine release snapshot" in advice, advice
    w.cli("machine", "release", "snapshot")
    settled(w, "snapshot")
    # From here it is an honest machine again.
    machine.process.restart()
    settled(w, "snapshot")
    assert hold(w, "snapshot") == ""


def test_a_machine_that_joins_anew_under_its_name_is_no_copy(w):
    machine = w.tentacle("reborn", dialled=False)
    settled(w, "reborn")
    machine.process.stop()
    w.cli("machine", "revoke", "reborn")
    shutil.rmtree(machine.state)
    (w.office / "reborn.token").unlink()
    joined = w.call([
        "longarm-tentacle", "join", "--state", str(machine.state),
        "--token-file", str(w.token("reborn", "-e", "prod")),
        w.upstream(None)])
    assert joined.code == 0, joined
    machine.process.start()
    settled(w, "reborn")
    assert hold(w, "reborn") == ""


def test_a_machine_killed_or_cut_off_anywhere_in_its_greet_goes_on(w):
    proxy = Proxy(w, w.upstream(None))
    machine = w.join("honest", dialled=False, words=("-e", "prod"))
    peers = machine.state / "peers"
    peers.write_text(
        f"server n1 {proxy.address}\n", encoding="utf-8")
    token = machine.state / "succession"

    def greet_once():
        before = token.read_text(encoding="utf-8")
        trips = proxy.stat()["trips"]
        machine.process.start()
        wait_until(lambda: token.read_text(encoding="utf-8") != before
                   or proxy.stat()["trips"] != trips, "a greet or its cut")
        machine.process.kill()

    machine.process = start(w, machine, machine.state, "honest")
    settled(w, "honest")
    machine.process.kill()
    first = proxy.stat()
    greet_once()
    last = proxy.stat()
    for way in ("up", "down"):
        total = last[way] - first[way]
        for i in range(PLACES):
            # From the middle on: before that nobody has greeted yet.
            at = total // 2 + (total + 256 - total // 2) * i // PLACES
            proxy.tell(f"cut {way} {at}")
            greet_once()
            proxy.tell("pass")
    machine.process.start()
    settled(w, "honest")
    assert hold(w, "honest") == ""
    assert "another copy" not in w.server_process.text().split(
        "machine joined")[-1]


def test_a_copied_relay_is_held_and_carries_nothing_until_it_is_released(w):
    relay = w.relay("dc2-c")
    machine = w.tentacle("behind", via="dc2-c", dialled=False)
    settled(w, "behind")
    path = relay.state.parent / "copy"
    subprocess.run(["cp", "-a", relay.state, path], check=True)
    copy = w.spawn("dc2-c-copy", [
        "longarm-relay", "run", "--state", str(path), "--listen",
        "127.0.0.1:0"] + flags(RELAY_TIMERS | LINK_TIMERS))
    wait_until(lambda: w.row("relay", "dc2-c")["hold"] == "clone", "held")
    shown = w.cli("relay", "show", "dc2-c")
    assert "longarm relay release dc2-c --instance" in shown.err, shown
    w.wait_presence("relay", "dc2-c", "unknown")
    refused = w.cli("health", "run", "-m", "behind", code=None)
    assert refused.code != 0, refused
    # The original goes on; the copy has gone.
    copy.stop()
    known = [line.split()[1].rstrip(":") for line in shown.err.splitlines()
             if line.startswith("instance ")]
    assert len(known) == 2, shown
    other = known[1] if "had the work" in shown.err.splitlines()[0] \
        else known[0]
    w.cli("relay", "release", "dc2-c", "--instance", other)
    w.wait_presence("relay", "dc2-c")
    settled(w, "behind")
    # An honest restart is none of a copy.
    relay.restart()
    w.wait_presence("relay", "dc2-c")
    machine.process.restart()
    settled(w, "behind")
    assert w.row("relay", "dc2-c")["hold"] == ""
    assert w.cli("relay", "release", "dc2-c", code=None).code == 1
