"""Joining, presence and health, directly and through a relay."""
import json

import pytest

from harness import LINK_TIMERS, flags, free_port, wait_until


@pytest.fixture(scope="module")
def w(shared):
    shared.server()
    shared.relay("dc2-a")
    shared.tentacle("direct-dialled", settings={"tentacle.open": 5})
    shared.tentacle("direct-dials", dialled=False)
    shared.tentacle("behind-dialled", via="dc2-a")
    shared.tentacle("behind-dials", via="dc2-a", dialled=False)
    return shared


ALL = ("direct-dialled", "direct-dials", "behind-dialled", "behind-dials")


def test_joining_prints_name_id_route_and_the_next_step(w):
    out = w.machines["behind-dialled"].joined.out
    machine = w.row("machine", "behind-dialled")
    assert "behind-dialled" in out
    assert machine["id"] in out
    assert "dc2-a" in out
    assert "longarm-tentacle run" in out


def test_a_machine_is_online_whoever_dials_and_by_whatever_way(w):
    machines = {m["name"]: m for m in w.json("machine", "list")}
    assert {m["presence"] for m in machines.values()} == {"online"}
    assert set(machines) == set(ALL)


@pytest.mark.sanitizer
def test_a_health_check_finds_all_machines_healthy_with_facts(w):
    w.cli("health", "run", "--environment", "prod")
    for one in w.json("health", "show", "--environment", "prod"):
        assert one["health"] == "healthy", one
    facts = json.dumps(w.json("machine", "show", "behind-dialled"))
    for word in ("disk", "memory", "load", "uptime"):
        assert word in facts, word


def test_the_operators_own_check_decides_about_health(w):
    sick = w.office / "check.sh"
    sick.write_text('#!/bin/sh\necho "the disk smells of smoke"\nexit 1\n')
    w.cli("health", "run", "behind-dialled", "--script", sick, code=None)
    machine = w.row("machine", "behind-dialled")
    assert machine["health"] in ("warnings", "unhealthy"), machine
    assert w.row("machine", "direct-dialled")["health"] == "healthy"
    w.cli("health", "run")
    assert w.row("machine", "behind-dialled")["health"] == "healthy"


def test_a_token_joins_only_as_often_as_it_says(w):
    token = w.token("once")
    for code in (0, 4):
        state = w.directory / f"once-{code}"
        joined = w.call(["longarm-tentacle", "join", "--state", str(state),
                         "--token-file", str(token), w.upstream("dc2-a")])
        assert joined.code == code, joined
    assert "token" in joined.err
    w.cli("machine", "remove", "once")


def test_a_damaged_token_is_refused_before_anything_is_sent(w):
    token = w.token("damaged")
    text = token.read_text().strip()
    token.write_text(text[:-6] + ("aaaaaa" if text[-6:] != "aaaaaa" else "bb"))
    joined = w.call(["longarm-tentacle", "join", "--state",
                     str(w.directory / "damaged"), "--token-file", str(token),
                     w.upstream(None)])
    assert joined.code in (1, 4), joined
    assert "token" in joined.err


def test_joining_where_nobody_listens_says_so(w):
    joined = w.call(["longarm-tentacle", "join", "--state",
                     str(w.directory / "nobody"), "--token-file",
                     str(w.token("nobody")), "--timeout", "5s",
                     f"127.0.0.1:{free_port()}"])
    assert joined.code == 8, joined
    assert "refused" in joined.err


def test_a_machine_that_hangs_is_missed_and_found_again(w):
    for name in ("direct-dialled", "behind-dials"):
        process = w.machines[name].process
        process.freeze()
        wait_until(lambda: w.row("machine", name)["presence"] != "online",
                   f"{name} missed", 8)
        process.thaw()
        w.wait_presence("machine", name)


def test_machines_behind_a_lost_relay_are_unknown_not_offline(w):
    w.relays["dc2-a"].kill()
    w.wait_presence("relay", "dc2-a", "offline")
    w.wait_presence("machine", "behind-dialled", "unknown")
    w.wait_presence("machine", "behind-dials", "unknown")
    assert w.row("machine", "direct-dialled")["presence"] == "online"
    w.relays["dc2-a"].start()
    for name in ("behind-dialled", "behind-dials"):
        w.wait_presence("machine", name)


def test_a_machine_that_stops_is_offline_and_the_relay_says_why(w):
    machine = w.machines["behind-dialled"]
    machine.process.stop()
    w.wait_presence("machine", "behind-dialled", "offline")
    row = w.row("machine", "behind-dialled")
    assert "dc2-a" in row["presence_text"], row
    machine.process.start()
    w.wait_presence("machine", "behind-dialled")


def test_leaving_takes_the_identity_away(w):
    machine = w.join("leaver", via="dc2-a")
    left = w.call(["longarm-tentacle", "leave", "--state", str(machine.state)])
    assert left.code == 0, left
    again = w.call(["longarm-tentacle", "run", "--state", str(machine.state)])
    assert again.code != 0 and "join" in again.err, again
    w.cli("machine", "remove", "leaver")
    assert w.row("machine", "leaver") is None


def test_two_relays_in_a_row_carry_a_machine(w):
    w.relay("dc2-c", via="dc2-a")
    w.tentacle("deep", via="dc2-c", words=("-e", "prod"))
    result = w.cli("run", "-m", "deep", "--", "echo from the deep")
    assert "from the deep" in result.out


def test_port_zero_is_chosen_by_the_kernel_and_told(w, tmp_path):
    state = tmp_path / "state"
    made = w.call(["longarm-server", "init", "--state", str(state),
                   "--http-name", "127.0.0.1", "--http-listen",
                   "127.0.0.1:0", "--listen", "127.0.0.1:0"])
    assert made.code == 0, made
    process = w.spawn("zero", ["longarm-server", "serve", "--state",
                               str(state), "--http-listen", "127.0.0.1:0",
                               "--listen", "127.0.0.1:0"])
    wait_until((state / "addresses").exists, "the addresses file")
    text = wait_until((state / "addresses").read_text, "addresses")
    assert "127.0.0.1:" in text and ":0\n" not in text, text
    wait_until(lambda: not json.loads(
        (state / "operator.login").read_text())["url"].endswith(":0"),
        "the real port in operator.login")
    assert process.stop() == 0


def test_a_machine_added_before_joins_as_what_it_was_added(w):
    w.cli("machine", "add", "planned", "-e", "prod", "-r", "db")
    added = w.row("machine", "planned")
    token = w.token("planned", "-r", "ignored")
    state = w.directory / "planned" / "state"
    state.parent.mkdir()
    join = ["longarm-tentacle", "join", "--state", str(state), "--token-file",
            str(token), w.upstream(None)]
    refused = w.call(join)
    assert refused.code == 4, refused
    assert "waits in environment prod" in refused.err
    token.unlink()
    w.token("planned", "-e", "prod")
    joined = w.call(join)
    assert joined.code == 0, joined
    machine = w.row("machine", "planned")
    assert machine["id"] == added["id"] and added["id"] in joined.out
    assert machine["roles"] == ["db"]
    assert machine["environments"] == ["prod"]
    w.cli("machine", "remove", "planned")


@pytest.mark.parametrize("via", [None, "dc2-a"])
def test_who_dials_and_is_dialled_has_one_link_that_stays(w, via):
    name = f"both-{via or 'direct'}"
    machine = w.join(name, via, dialled=False)
    machine.process = w.spawn(name, [
        "longarm-tentacle", "run", "--state", str(machine.state), "--listen",
        machine.address()] + flags(LINK_TIMERS))
    w.wait_presence("machine", name)
    peers = machine.state / "peers"
    dials = peers.read_text()
    w.cli("machine", "set-route", name,
          f"{via or 'direct'}={machine.address()}")
    wait_until(lambda: "127.0.0.1" not in peers.read_text(),
               "it is told to dial no more")
    begun = 0

    def said(what):
        return machine.process.text()[begun:].count(what)

    def refused():
        # One that has not heard it, from a copy of its disk, say; it is told
        # again when the server has not heard that it was.
        nonlocal begun
        if "127.0.0.1" not in peers.read_text():
            machine.process.kill()
            peers.write_text(dials)
            begun = len(machine.process.text())
            machine.process.start()
        return said("connected already") > 1

    # Both ends have tried more than once by the time that this is said twice.
    wait_until(refused, "the second link refused")
    before = said(": connected")
    assert before < 6
    w.cli("run", "-m", name, "--", "sleep 1")
    assert said(": connected") == before
    w.cli("machine", "remove", name)


def test_who_answers_a_check_is_online_whatever_the_rows_say_yet(world):
    world.server(settings={"fleet.presence": "60s"})
    world.tentacle("web-01")
    world.cli("health", "run")
    one, = world.json("health", "show")
    assert (one["presence"], one["health"]) == ("online", "healthy"), one
    world.machines["web-01"].process.stop()
    world.wait_presence("machine", "web-01", "offline")
