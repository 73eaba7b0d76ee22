"""Certificates are renewed while everything runs, whoever dies meanwhile."""
import os
import random
import re
import ssl
import time

import pytest

from harness import wait_until

LIFE = 20  # seconds; the shortest that is allowed
SETTINGS = {"fleet.certificate": f"{LIFE}s"}


def ends(state):
    """When the certificate on a member's disk ends."""
    path = state / "identity" / "cert.pem"
    text = path.read_text(encoding="ascii")
    first = text[:text.index("-----END") + 30]
    path = state.parent / "look.pem"
    path.write_text(first, encoding="ascii")
    # The only decoder in Python's library that needs no connection.
    found = ssl._ssl._test_decode_cert(str(path))  # pylint: disable=W0212
    return ssl.cert_time_to_seconds(found["notAfter"])


def wait_renewed(members, before):
    wait_until(lambda: all(ends(m.state) > b
                           for m, b in zip(members, before)),
               "new certificates", LIFE)


def links(process):
    """Made, and ended because nothing was left on them or there were two."""
    text = process.text()
    return (len(re.findall(r" connected ", text)),
            len(re.findall(r": drained |closed the link$", text, re.M)))


def test_certificates_are_renewed_and_no_link_is_dropped(world):
    w = world
    soon = {"link.refresh": "500ms"}
    w.server(SETTINGS | soon)
    relay = w.relay(settings=soon)
    far = w.tentacle("far", via="dc2-a", settings=soon)
    near = w.tentacle("near", dialled=False, settings=soon)
    members = [relay, far, near]
    processes = [relay, far.process, near.process]
    child = w.open_cli(
        "run", "--all", "--",
        f"for i in $(seq {LIFE * 2}); do echo $i; sleep 0.5; done")
    before = [links(p)[0] for p in processes]
    for _ in range(2):
        ended = [ends(m.state) for m in members]
        wait_renewed(members, ended)
    # Whatever runs goes on by the newer links, so the old ones end.
    for process, made in zip(processes, before):
        wait_until(lambda p=process, n=made: links(p) > (n, 0) and
                   links(p)[0] - n == links(p)[1], "the old links' end")
    ran = w.finish(child)
    assert ran.code == 0
    for name in ("far", "near"):
        mine = [x.split("| ")[1] for x in ran.lines()
                if x.startswith(name + " ") and "| " in x]
        assert mine == [str(i) for i in range(1, LIFE * 2 + 1)]
    # What is new is what they show from now on.
    relay.restart()
    far.process.restart()
    near.process.restart()
    for name in ("far", "near"):
        w.wait_presence("machine", name)
    w.cli("run", "--all", "--", "true")


# Each step by its name: step_test.py.
@pytest.mark.skipif("LONGARM_SOAK" not in os.environ,
                    reason="LONGARM_SOAK runs it")
def test_killed_at_any_moment_of_a_renewal_nobody_is_locked_out(world):
    w = world
    w.server(SETTINGS)
    relay = w.relay()
    machine = w.tentacle("web-01", via="dc2-a")
    victims = [w.server_process, relay, machine.process]
    members = [relay, machine]
    end = time.monotonic() + LIFE * 1.6
    while time.monotonic() < end:
        time.sleep(random.uniform(0.05, 0.6))
        victim = random.choice(victims)
        victim.kill()
        time.sleep(random.uniform(0, 0.2))
        victim.start()
    w.wait_for_server()
    w.wait_presence("machine", "web-01")
    w.cli("run", "-m", "web-01", "--", "true")
    before = [ends(m.state) for m in members]
    wait_renewed(members, before)
    assert all(e > time.time() for e in before)
