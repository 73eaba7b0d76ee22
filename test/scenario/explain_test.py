"""Why can't it reach web-03?  route trace, and who is there, in a chain."""
import json
import time

import pytest

from harness import wait_until


@pytest.fixture(scope="module")
def w(shared):
    shared.server()
    shared.relay("dc2-a", dialled=True)
    shared.relay("dc2-c", via="dc2-a")
    shared.tentacle("web-01", via="dc2-c")
    shared.tentacle("web-02", via="dc2-a", dialled=False)
    shared.tentacle("direct")
    shared.cli("run", "--all", "--", "true")
    return shared


def trace(w, machine, code=0):
    return json.loads(
        w.cli("route", "trace", machine, "-o", "json", code=code).out)


def says(hop):
    """Who says of whom, and how it is."""
    link = hop.get("link", {})
    return (hop["by"], link.get("to"), link.get("state"),
            hop.get("reason", "arrived" if hop["arrived"] else None))


def test_each_hop_of_a_chain_answers_with_all_that_it_knows(w):
    answer = trace(w, "web-01")
    hops = answer["hops"]
    assert [says(h) for h in hops] == [
        ("server n1", "relay dc2-a", "up", None),
        ("relay dc2-a", "relay dc2-c", "up", None),
        ("relay dc2-c", "machine web-01", "up", None),
        ("machine web-01", None, None, "arrived")]
    for hop in hops:
        assert hop["path"] == "dc2-a/dc2-c" and hop["in_use"], hop
        assert hop["version"] and hop["certificate_expires_ms"] > 0, hop
        # One id leads through the logs of all of them.
        assert hop["id"] == hops[0]["id"] != "", hop
    for link in [h["link"] for h in hops[:-1]]:
        assert link["rtt_us"] > 0 and link["up_ms"] > 0, link
        assert sorted(link["queued"]) == ["bulk", "control", "deploy",
                                          "health"]
        left = link["certificate_expires_ms"] / 1000 - time.time()
        assert 13 * 86400 < left < 15 * 86400, link
        assert link["version"] == hops[0]["version"]
    assert [h["link"]["dialled"] for h in hops[:-1]] == [True, False, True]
    assert hops[2]["link"]["address"] == w.machines["web-01"].address()
    assert hops[-1]["after_us"] > 0


def test_it_is_readable_and_says_when_the_machine_itself_answers(w):
    out = w.cli("route", "trace", "web-01").out
    lines = out.splitlines()
    assert lines[0] == "1. dc2-a/dc2-c, in use"
    assert lines[1].startswith("FROM ")
    assert lines[2].startswith("server n1 ") and " up " in lines[2], out
    assert lines[-1].startswith("machine web-01 answers after "), out


def test_machines_that_dial_and_those_that_are_direct(w):
    assert [says(h) for h in trace(w, "web-02")["hops"]] == [
        ("server n1", "relay dc2-a", "up", None),
        ("relay dc2-a", "machine web-02", "up", None),
        ("machine web-02", None, None, "arrived")]
    assert [says(h) for h in trace(w, "direct")["hops"]] == [
        ("server n1", "machine direct", "up", None),
        ("machine direct", None, None, "arrived")]


def test_each_route_is_traced_in_order(w):
    address = w.machines["web-02"].address()
    w.cli("machine", "set-route", "web-02", f"direct={address}", "dc2-a")
    # The relay is told of it in no time.
    answer = wait_until(
        lambda: (lambda a: a["hops"][-1]["arrived"] and a)(
            trace(w, "web-02", code=None)), "the second route")
    assert [h["route"] for h in answer["hops"]] == [1, 2, 2, 2]
    assert answer["hops"][0]["reason"] == "refused"
    assert address in answer["hops"][0]["text"]
    w.cli("machine", "set-route", "web-02", "dc2-a")
    w.wait_presence("machine", "web-02")


def test_presence_last_seen_route_and_round_trip_are_shown(w):
    for name, route in (("web-01", "dc2-a/dc2-c"), ("web-02", "dc2-a"),
                        ("direct", "direct")):
        w.cli("run", "-m", name, "--", "true")
        row = wait_until(lambda: (lambda r: r["rtt_us"] and r)(
            w.row("machine", name)), f"the round trip to {name}")
        assert row["presence"] == "online" and row["route"] == route, row
        assert row["last_seen_ms"], row
        shown = w.json("machine", "show", name)
        assert shown["route"] == route and shown["rtt_us"] > 0, shown
        assert abs(shown["last_seen_ms"] / 1000 - time.time()) < 60, shown
    relay = w.row("relay", "dc2-c")
    assert relay["route"] == "dc2-a" and relay["rtt_us"] > 0, relay
    shown = w.json("relay", "show", "dc2-c")
    assert shown["route"] == "dc2-a" and shown["rtt_us"] > 0, shown
    table = w.cli("machine", "list").out.splitlines()
    for column in ("PRESENCE", "LAST SEEN", "BY", "RTT US"):
        assert column in table[0], table


def test_where_a_program_is_hung_is_told_and_the_hops_before_it_at_once(w):
    machine = w.machines["web-01"]
    machine.process.freeze()
    try:
        child = w.open_cli("route", "trace", "web-01")
        seen = []
        # Nothing but the hung machine's answer is missing, and nobody knows.
        while not any("machine web-01" in line for line in seen):
            line = child.stdout.readline()
            assert line, seen
            seen.append(line)
        assert child.poll() is None
        assert "relay dc2-c" in seen[-1] and " up " in seen[-1], seen
        out, err = child.communicate(timeout=60)
    finally:
        machine.process.thaw()
    assert child.returncode == 9, (out, err)
    assert "web-01: " in out and "relay dc2-c says)" in out, out
    assert "no answer" in out, out
    w.wait_presence("machine", "web-01")


def test_a_refused_connection_is_told_by_who_tried_with_the_advice(w):
    machine = w.machines["web-01"]
    machine.process.stop()
    result = wait_until(
        lambda: (lambda r: "connection refused" in r.out and r)(
            w.cli("route", "trace", "web-01", code=9)), "the refusal")
    assert (f"web-01: connection refused at {machine.address()} "
            "(refused, relay dc2-c says)\n"
            "   Is the program running there, and is the port right?"
            in result.out), result
    last = trace(w, "web-01", code=9)["hops"][-1]
    assert says(last) == ("relay dc2-c", "machine web-01", "down", "refused")
    assert last["at"] == "relay dc2-c" and last["advice"]
    assert last["link"]["address"] == machine.address()
    machine.process.start()
    w.wait_presence("machine", "web-01")


def test_who_may_only_look_may_not_make_traffic(w):
    key = w.json("apikey", "create", "viewer", "--permissions", "view")["key"]
    id_ = w.json("machine", "show", "web-01")["id"]
    for name in ("web-01", id_):
        status, body = w.api("POST", f"/api/v1/machines/{name}/traces",
                             key=key, body="{}")
        assert status == 403 and "health.run" in body, body
    status, body = w.api("GET", "/api/v1/machines/web-01/traces/" + "0" * 32,
                         key=key)
    assert status == 404 and "no such trace" in body, body
    w.cli("route", "trace", "nobody", code=3)


def test_a_lost_relay_makes_what_is_behind_it_unknown_and_not_failed(w):
    w.relays["dc2-c"].stop()
    w.wait_presence("relay", "dc2-c", "offline")
    w.wait_presence("machine", "web-01", "unknown")
    row = w.row("machine", "web-01")
    assert row["health"] != "failed" and row["rtt_us"] is None, row
    assert row["last_seen_ms"], row
    answer = trace(w, "web-01", code=9)
    assert says(answer["hops"][-1])[:3] == (
        "relay dc2-a", "relay dc2-c", "down"), answer
    assert answer["hops"][-1]["reason"] in ("relay-down", "draining"), answer
    assert "dc2-c" in answer["hops"][-1]["text"], answer
    # Who is not behind it is not touched.
    assert w.row("machine", "web-02")["presence"] == "online"
    w.relays["dc2-c"].start()
    w.wait_presence("machine", "web-01")


def test_a_relay_that_the_server_cannot_reach_is_told_by_the_server(w):
    w.relays["dc2-a"].kill()
    w.wait_presence("machine", "web-01", "unknown")
    hops = trace(w, "web-01", code=9)["hops"]
    assert len(hops) == 1, hops
    assert says(hops[0])[:3] == ("server n1", "relay dc2-a", "down"), hops
    assert hops[0]["reason"] == "relay-down", hops
    assert "web-01: relay dc2-a is not connected" in hops[0]["text"], hops
    w.relays["dc2-a"].start()
    w.wait_presence("machine", "web-01")
