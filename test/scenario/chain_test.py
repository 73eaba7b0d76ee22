"""Three relays in a row, each link opened by another end."""
import pytest

import dialogue
from harness import wait_until


@pytest.fixture(scope="module")
def w(shared):
    shared.server()
    shared.relay("dc2-a")
    shared.relay("dc2-c", via="dc2-a", dialled=True)
    shared.relay("dc2-e", via="dc2-c")
    shared.tentacle("deep-dials", via="dc2-e", dialled=False)
    shared.tentacle("deep-dialled", via="dc2-e", dialled=True)
    dialogue.prepare(shared)
    return shared


DEEP = ("deep-dials", "deep-dialled")


def test_the_route_of_who_joined_through_three_relays_names_them(w):
    for name in DEEP:
        routes = w.row("machine", name)["routes"]
        assert "dc2-a/dc2-c/dc2-e" in str(routes), routes


def test_all_that_is_done_to_a_machine_passes_three_relays(w):
    w.cli("health", "run")
    assert all(w.row("machine", name)["health"] == "healthy" for name in DEEP)
    ran = w.cli("run", "--all", "--", dialogue.SCRIPT)
    assert len([x for x in ran.lines() if "of the output" in x]) == 400
    w.cli("deploy", "shop", "--release", "1.0", "--to", "prod", "--wait")
    for name in DEEP:
        assert w.machines[name].lines("activated") == ["activated"]


def test_a_relay_lost_in_the_middle_costs_a_script_nothing(w):
    for name in DEEP:
        w.machines[name].path("marker").unlink(missing_ok=True)
    script = ('echo ran >>"$HOME/marker"; while [ ! -e "$HOME/go" ]; '
              'do sleep 0.05; done; echo finished')
    task = w.start_run(script, "--all")
    for name in DEEP:
        wait_until(lambda: w.machines[name].lines("marker"), "the script")
    w.relays["dc2-c"].kill()
    w.wait_presence("relay", "dc2-c", "offline")
    for name in DEEP:
        w.wait_presence("machine", name, "unknown")
        w.machines[name].touch("go")
    w.relays["dc2-c"].start()
    w.cli("task", "wait", task)
    log = w.cli("task", "log", task).out
    assert log.count("finished") == 2
    for name in DEEP:
        assert w.machines[name].lines("marker") == ["ran"]
        w.wait_presence("machine", name)


def test_the_last_relay_of_three_hears_of_a_revoked_machine(w):
    machine = w.tentacle("deep-thief", via="dc2-e", dialled=False)
    w.cli("machine", "revoke", "deep-thief")
    wait_until(lambda: "revoked" in machine.process.text(), "word of it", 10)
    wait_until(lambda: w.relays["dc2-e"].text().count("keys were revoked"),
               "dc2-e told", 10)
    w.cli("machine", "remove", "deep-thief")
