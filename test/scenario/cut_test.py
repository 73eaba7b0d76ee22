"""Cut or silenced at any byte of a whole dialogue: one run, the right exit
code, and connected again within seconds.

    LONGARM_SOAK=N    N places in each direction of each step, not the few
                      that a minute allows (make soak)
"""
import hashlib
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import dialogue
from conftest import drop_world, make_world
from dialogue import Lane, Way
from faults import Proxy
from harness import SLOW, wait_until

PLACES = int(os.environ.get("LONGARM_SOAK", "0"))
WAYS = [Way("relayed", "dc2-a"), Way("direct", None),
        Way("dialled", "dc2-a", dialled=True)]
# 30 s with the timers of a real installation.
NOTICED_MS = 3000


@pytest.fixture(scope="module")
def w(shared):
    shared.server({"link.handshake": "1s"})
    shared.relay("dc2-a", settings={"link.handshake": "1s"})
    dialogue.prepare(shared)
    return shared


@pytest.fixture(scope="module")
def steps(w):
    return {way.name: dialogue.measure(w, way) for way in WAYS}


def everywhere(steps, verb):
    return [(way, f"{verb} {word} {at}") for way in WAYS
            for word, at in dialogue.places(steps[way.name], PLACES or 1)]


@pytest.mark.sanitizer
def test_a_cut_anywhere_costs_nothing_but_time(w, steps):
    harms = [(way, harm + (" reset" if i % 3 == 0 else ""))
             for i, (way, harm) in enumerate(everywhere(steps, "cut"))]
    stats = dialogue.sweep(w, harms)
    # Nearly all: the bytes of a dialogue vary a little.
    assert sum(s["trips"] for s in stats) >= len(harms) * 8 // 10


def test_a_silence_anywhere_is_noticed_and_fails_nothing(w, steps):
    harms = everywhere(steps, "freeze")
    stats = dialogue.sweep(w, harms)
    assert sum(s["trips"] for s in stats) >= len(harms) * 8 // 10
    late = [(way.name, harm, s) for (way, harm), s in zip(harms, stats)
            if s["again_ms"] > NOTICED_MS * SLOW]
    assert not late, late


def said(w, task):
    return [line.split("| ", 1)[1]
            for line in w.cli("task", "log", task).lines()]


LONG = ('i=0; while [ $i -lt 300 ]; do echo "$i $(head -c 40 /dev/urandom | '
        'base64 -w0)" | tee -a "$HOME/copy"; i=$((i+1)); sleep 0.01; done')


def pull(w, proxy, name, seconds=6):
    """A script whose cable is pulled in the middle, and put back when the
    script has ended."""
    machine = w.machines[name]
    task = w.start_run(LONG, "-m", name)
    wait_until(lambda: len(machine.lines("copy")) > 50, "the script")
    proxy.tell("pause")
    wait_until(lambda: w.row("machine", name)["presence"] != "online",
               "its absence", NOTICED_MS / 1000)
    wait_until(lambda: len(machine.lines("copy")) == 300, "its end", 30)
    time.sleep(max(0, seconds - 300 * 0.015))
    proxy.tell("resume")
    w.cli("task", "wait", task)
    log = "".join(line + "\n" for line in said(w, task))
    assert hashlib.sha256(log.encode()).hexdigest() == hashlib.sha256(
        machine.read("copy").encode()).hexdigest()


def test_a_cable_pulled_in_mid_script_loses_no_byte(w):
    lanes = [Lane(w, f"{way.name}-pulled", way) for way in WAYS]
    for lane in lanes:
        w.machines[lane.name] = lane.machine
        lane.join()
        lane.run()
        w.wait_presence("machine", lane.name)
    with ThreadPoolExecutor(len(lanes)) as pool:
        list(pool.map(lambda lane: pull(w, lane.proxy, lane.name), lanes))
    for lane in lanes:
        lane.end()


@pytest.fixture(scope="module")
def far():
    """A relay whose way to the server is the proxy."""
    world = make_world()
    world.server({"link.handshake": "1s"})
    world.proxy = Proxy(world, world.upstream(None))
    world.relay("dc2-a", settings={"link.handshake": "1s"},
                upstream=world.proxy.address)
    for name in ("web-01", "web-02"):
        world.tentacle(name, via="dc2-a")
    dialogue.prepare(world)
    yield world
    drop_world(world)


def both(far):
    """A script and a package for both machines behind the relay."""
    far.cli("health", "run")
    ran = far.cli("run", "--all", "--", dialogue.SCRIPT)
    assert len([x for x in ran.lines() if "of the output" in x]) == 400
    far.cli("deploy", "shop", "--release", "1.0", "--to", "prod", "--wait")
    for machine in far.machines.values():
        for name, line in (("marker", "ran"), ("activated", "activated")):
            assert machine.lines(name) == [line]
            machine.path(name).unlink()
        shutil.rmtree(machine.apps)


@pytest.mark.parametrize("verb", ["cut", "freeze"])
def test_the_link_between_relay_and_server_may_break_anywhere(far, verb):
    before = far.proxy.stat()
    both(far)
    after = far.proxy.stat()
    for word, at in dialogue.places(
            [("all", after["up"] - before["up"],
              after["down"] - before["down"])], min(PLACES, 10) or 2):
        trips = far.proxy.stat()["trips"]
        far.proxy.tell(f"{verb} {word} {at}")
        both(far)
        # What a dialogue needs varies: in the next one, then.
        if far.proxy.stat()["trips"] == trips:
            far.proxy.tell("pass")
            continue
        limit = NOTICED_MS + (dialogue.BACK_MS if verb == "freeze" else 2000)
        wait_until(lambda: 0 <= far.proxy.stat()["back_ms"] <= limit * SLOW,
                   "the relay", limit / 1000)
        far.proxy.tell("close" if verb == "freeze" else "pass")
        far.wait_presence("relay", "dc2-a")


def test_a_cable_pulled_between_relay_and_server(far):
    pull(far, far.proxy, "web-01")
