"""Renewal and enrolment killed at each of their steps, on either side: nobody is
locked out, and nobody joins twice."""
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import (LARGE, LINK_TIMERS, TENTACLE_TIMERS, Machine, flags, free_port,
                     wait_until)
from renew_test import LIFE, SETTINGS, ends, wait_renewed

POOL = ThreadPoolExecutor(1)


def restart_at(fail, name, process):
    """It has been killed there, or what belongs to it has."""
    wait_until(lambda: fail.is_reached(name), name, 2 * LIFE)
    process.kill()
    process.start()


@pytest.mark.skipif(LARGE > 1, reason="certificates do not wait for slow builds")
def test_killed_at_each_step_of_a_renewal_nobody_is_locked_out(world):
    w = world.use_failing()
    w.server(SETTINGS)
    relay = w.relay()
    steps = ["certificate.received", "identity.written", "identity.exchanged",
             "certificate.kept"]
    machines = [w.tentacle(f"web-{i}", via="dc2-a", dialled=i % 2 == 0)
                for i in range(len(steps))]
    members = [relay, *machines]
    for machine, step in zip(machines, steps):
        w.fail(machine.name).set(step)
    w.fail("dc2-a").set("identity.exchanged")
    restart_at(w.fail("dc2-a"), "identity.exchanged", relay)
    for machine, step in zip(machines, steps):
        restart_at(w.fail(machine.name), step, machine.process)
    server = w.fail("server")
    for step in ("certificate.issued", "certificate.confirmed"):
        server.set(step)
        restart_at(server, step, w.server_process)
        w.wait_for_server()
    before = [ends(m.state) for m in members]
    assert all(e > time.time() for e in before)
    wait_renewed(members, before)
    for machine in machines:
        w.wait_presence("machine", machine.name)
    w.cli("run", "--all", "--", "true")


@pytest.fixture(scope="module")
def w(shared):
    shared.use_failing()
    shared.server()
    return shared


def machine_for(w, name):
    machine = Machine(w, name, free_port())
    machine.home.mkdir()
    # One use: who begins again takes no second one.
    token = w.token(name, "-e", "prod", "--uses", "1")
    machine.words = ["longarm-tentacle", "join", "--state", str(machine.state),
                     "--token-file", str(token), "--timeout", "20s",
                     w.upstream(None)] + flags(LINK_TIMERS)
    return machine


def check_joined(w, machine):
    """Once, under one name; and it works."""
    machine.process = w.spawn(machine.name, [
        "longarm-tentacle", "run", "--state", str(machine.state)]
        + flags({"tentacle.apps": machine.apps, "tentacle.home": machine.home}
                | TENTACLE_TIMERS | LINK_TIMERS))
    w.machines[machine.name] = machine
    w.wait_presence("machine", machine.name)
    names = [m["name"] for m in w.json("machine", "list")]
    assert sorted(names) == sorted(w.machines), names
    w.cli("run", "-m", machine.name, "--", "true")


@pytest.mark.parametrize("step", [
    "identity.written", "identity.written 2", "identity.exchanged",
    "identity.exchanged 2", "join.answered", "join.kept"])
def test_a_join_that_dies_anywhere_is_finished_by_the_next(w, step):
    name, _, count = step.partition(" ")
    machine = machine_for(w, step.replace(".", "-").replace(" ", "-"))
    fail = w.fail(machine.name)
    fail.set(name, f"abort {count or 1}")
    w.environment["LONGARM_FAILPOINTS"] = str(fail.directory)
    try:
        assert w.call(machine.words).code == -9
    finally:
        del w.environment["LONGARM_FAILPOINTS"]
    again = w.call(machine.words)
    assert again.code == 0 or "already" in again.err, again
    check_joined(w, machine)


@pytest.mark.parametrize("step", ["enrol.written", "enrol.signed",
                                  "enrol.sent"])
def test_a_server_that_dies_while_one_joins_lets_it_in_afterwards(w, step):
    machine = machine_for(w, step.replace(".", "-"))
    fail = w.fail("server")
    fail.set(step)
    job = POOL.submit(w.call, machine.words)
    restart_at(fail, step, w.server_process)
    w.wait_for_server()
    joined = job.result()
    if joined.code != 0:
        joined = w.call(machine.words)
    assert joined.code == 0 or "already" in joined.err, joined
    check_joined(w, machine)
