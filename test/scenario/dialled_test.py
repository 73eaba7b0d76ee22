"""Whoever is dialled: a relay that the server dials, and what is behind it."""
import pytest

from harness import wait_until


@pytest.fixture(scope="module")
def w(shared):
    shared.server()
    shared.relay("dc2-a", dialled=True, settings={"relay.dial": "no"})
    shared.tentacle("behind-dialled", via="dc2-a")
    shared.tentacle("behind-dials", via="dc2-a", dialled=False)
    return shared


MACHINES = ("behind-dialled", "behind-dials")


def test_a_relay_that_the_server_dials_carries_enrolment_and_scripts(w):
    assert w.row("relay", "dc2-a")["presence"] == "online"
    for name in MACHINES:
        result = w.cli("run", "-m", name, "--", f"echo here is {name}")
        assert f"here is {name}" in result.out


def test_it_never_dials_the_server_itself(w):
    text = w.relays["dc2-a"].text()
    assert f"127.0.0.1:{w.links}" not in text, text


def test_it_is_dialled_again_after_it_was_away(w):
    w.relays["dc2-a"].kill()
    w.wait_presence("relay", "dc2-a", "offline")
    for name in MACHINES:
        w.wait_presence("machine", name, "unknown")
    row = w.row("relay", "dc2-a")
    assert "dc2-a" in row["presence_text"], row
    assert f"127.0.0.1:{w.relays['dc2-a'].port}" in row["presence_text"], row
    w.relays["dc2-a"].start()
    w.wait_presence("relay", "dc2-a")
    for name in MACHINES:
        w.wait_presence("machine", name)
    result = w.cli("run", "-m", "behind-dialled", "--", "echo back again")
    assert "back again" in result.out


def test_the_server_dials_it_again_after_its_own_restart(w):
    w.server_process.restart()
    w.wait_for_server()
    w.wait_presence("relay", "dc2-a")
    for name in MACHINES:
        w.wait_presence("machine", name)


def test_a_dialled_machine_that_is_down_is_named_with_its_address(w):
    machine = w.machines["behind-dialled"]
    machine.process.kill()
    w.wait_presence("machine", "behind-dialled", "offline")
    refused = f"connection refused at {machine.address()}"
    wait_until(
        lambda: refused in w.row("machine", "behind-dialled")["presence_text"],
        refused)
    machine.process.start()
    w.wait_presence("machine", "behind-dialled")
