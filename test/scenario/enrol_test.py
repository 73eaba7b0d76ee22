"""Joins that a person approves, or carries on a stick."""
import json

import pytest

from harness import (LINK_TIMERS, RELAY_TIMERS, TENTACLE_TIMERS, flags,
                     free_port, wait_until)


@pytest.fixture(scope="module")
def w(shared):
    shared.server({"fleet.approval-retry": "1s"})
    shared.relay("dc2-a")
    return shared


def join(w, name, *words, program="tentacle", via=None):
    """`join` that goes on while others decide; its state directory."""
    state = w.directory / name / "state"
    state.parent.mkdir(exist_ok=True)
    w.open_join = w.spawn(f"{name}-join", [
        f"longarm-{program}", "join", "--state", str(state), "--token-file",
        str(w.office / f"{name}.token"), w.upstream(via), *words])
    return w.open_join


def pending(w, noun="machine"):
    return {one["name"]: one for one in w.json(noun, "pending")}


def wait_for_ask(w, name, noun="machine"):
    return wait_until(lambda: pending(w, noun).get(name), f"{name} asks")


def ended(process):
    wait_until(lambda: not process.is_running(), "the end of a join")
    return process.child.returncode


@pytest.mark.parametrize("via", [None, "dc2-a"])
def test_who_must_be_approved_waits_and_then_joins(w, via):
    name = f"shy-{via or 'direct'}"
    w.token(name, "--approval", "-e", "prod")
    process = join(w, name, via=via)
    one = wait_for_ask(w, name)
    assert one["state"] == "waiting"
    assert one["token"] and one["address"] and one["hostname"]
    # What both ends show of the key is the same.
    told = wait_until(lambda: "approval of key" in process.text()
                      and process.text(), "what join says")
    assert one["key"][:16] in told
    assert f"longarm machine approve {name}" in told
    assert w.row("machine", name) is None
    # The wait outlives the joiner, which comes again as the same.
    process.kill()
    process.start()
    w.cli("machine", "approve", one["key"][:16])
    w.cli("machine", "approve", name, code=None)
    assert ended(process) == 0, process.text()
    assert w.row("machine", name)["environments"] == ["prod"]
    assert name not in pending(w)


def test_who_is_rejected_or_whose_token_is_revoked_does_not_join(w):
    w.token("bad", "--approval", "-e", "prod")
    process = join(w, "bad")
    wait_for_ask(w, "bad")
    w.cli("machine", "reject", "bad")
    assert ended(process) == 4, process.text()
    assert "rejected" in process.text()
    w.token("gone", "--approval", "-e", "prod")
    process = join(w, "gone")
    token = wait_for_ask(w, "gone")["token"]
    w.cli("token", "revoke", token)
    assert ended(process) == 4, process.text()
    assert "gone" not in pending(w)
    assert w.row("machine", "bad") is None
    assert w.row("machine", "gone") is None


def test_a_join_that_nobody_approves_gives_up_and_keeps_its_key(w):
    w.token("patient", "--approval", "-e", "prod")
    process = join(w, "patient", "--timeout", "1s")
    key = wait_for_ask(w, "patient")["key"]
    assert ended(process) == 7, process.text()
    assert "run the same command again" in process.text()
    w.cli("machine", "approve", "patient")
    process.start()
    assert ended(process) == 0, process.text()
    shown = w.call(["longarm-tentacle", "status", "--state",
                    str(w.directory / "patient" / "state"), "-o", "json"])
    assert json.loads(shown.out)["id"] == w.row("machine", "patient")["id"]
    assert len(key) == 64


def test_a_token_that_may_be_used_once_makes_one_wait(w):
    w.token("single", "--approval", "-e", "prod")
    first = join(w, "single")
    wait_for_ask(w, "single")
    second = w.call([
        "longarm-tentacle", "join", "--state", str(w.directory / "other"),
        "--token-file", str(w.office / "single.token"), w.upstream(None)])
    assert second.code == 4 and "used up" in second.err, second
    w.cli("machine", "reject", "single")
    ended(first)


def test_a_relay_is_approved_too_and_not_as_a_machine(w):
    w.token("dc9-a", "--relay", "--approval")
    process = join(w, "dc9-a", program="relay")
    wait_for_ask(w, "dc9-a", "relay")
    assert "dc9-a" not in pending(w)
    w.cli("machine", "approve", "dc9-a", code=3)
    w.cli("relay", "approve", "dc9-a")
    assert ended(process) == 0, process.text()
    assert w.row("relay", "dc9-a") is not None


# --- Files that people carry ------------------------------------------------


def request(w, name, *words, program="tentacle"):
    """`join --request`; (state directory, request file)."""
    state = w.directory / name / "state"
    state.parent.mkdir()
    file = w.office / f"{name}.request"
    made = w.call([f"longarm-{program}", "join", "--state", str(state),
                   "--request", str(file), *words])
    assert made.code == 0, made
    noun = "relay" if program == "relay" else "machine"
    assert f"longarm {noun} sign" in made.out, made
    return state, file


def answer(w, state, file, program="tentacle"):
    return w.call([f"longarm-{program}", "join", "--state", str(state),
                   "--answer", str(file)])


def test_a_machine_without_a_way_out_joins_by_two_files(w):
    """It only listens, and a relay, which itself only listens, dials it."""
    port = free_port()
    state, file = request(w, "edge", "--advertise", f"127.0.0.1:{port}",
                          program="relay")
    back = w.office / "edge.answer"
    w.cli("relay", "sign", file, "--name", "edge", "--out", back)
    joined = answer(w, state, back, program="relay")
    assert joined.code == 0 and "edge" in joined.out, joined
    edge = w.spawn("edge", [
        "longarm-relay", "run", "--state", str(state), "--listen",
        f"127.0.0.1:{port}", "--set", "relay.dial=no"]
        + flags(RELAY_TIMERS | LINK_TIMERS))
    edge.port = port
    w.relays["edge"] = edge
    w.wait_presence("relay", "edge")

    port = free_port()
    state, file = request(w, "island", "--advertise", f"127.0.0.1:{port}")
    back = w.office / "island.answer"
    w.cli("machine", "sign", file, "--name", "island", "-e", "prod", "-r",
          "web", "--route", "edge", "--out", back)
    row = w.row("machine", "island")
    assert row["routes"] == [f"edge=127.0.0.1:{port}"], row
    # The same file again is the same machine.
    w.cli("machine", "sign", file, "--name", "other", "--out", back)
    assert w.row("machine", "other") is None
    # Only whose key it is may use the answer.
    stranger, _ = request(w, "stranger")
    taken = answer(w, stranger, back)
    assert taken.code == 1 and "not for this key" in taken.err, taken
    assert not (stranger / "identity").exists()
    joined = answer(w, state, back)
    assert joined.code == 0 and row["id"] in joined.out, joined
    w.spawn("island", [
        "longarm-tentacle", "run", "--state", str(state), "--listen",
        f"127.0.0.1:{port}", "--set", "tentacle.dial=no"]
        + flags({"tentacle.apps": w.directory / "island" / "apps"}
                | TENTACLE_TIMERS | LINK_TIMERS))
    w.wait_presence("machine", "island")
    assert "there" in w.cli("run", "-m", "island", "--", "echo there").out
    # And it can greet again: its first token came with the file.
    assert w.row("machine", "island")["hold"] == ""


def test_what_is_no_request_or_no_answer_is_said_to_be_none(w):
    state, file = request(w, "typo")
    text = file.read_text()
    damaged = w.office / "damaged"
    at = text.index("-----END") - 12
    forged = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1:]
    for wrong, what in [("hello", "no request"),
                        (text.replace("role: tentacle", "role: king"), "role"),
                        (text[:-60], "CERTIFICATE REQUEST"),
                        (forged, "certificate request")]:
        damaged.write_text(wrong)
        told = w.cli("machine", "sign", damaged, code=None)
        assert told.code != 0 and what in told.err, told
    told = w.cli("relay", "sign", file, "--name", "x", code=None)
    assert "of a tentacle" in told.err, told
    told = answer(w, state, file)
    assert told.code == 1 and "no answer" in told.err, told
    both = w.call(["longarm-tentacle", "join", "--state", str(state),
                   "--answer", "x", "--request", "y"])
    assert both.code == 2, both
    assert w.row("machine", "typo") is None


def test_who_finds_no_place_to_join_comes_again_as_told(w):
    relay = w.relay("narrow", settings={
        "link.anonymous-max": "1", "link.anonymous": "2s"})
    names = [f"many-{i}" for i in range(6)]
    for name in names:
        w.token(name, "-e", "prod")
    joins = [join(w, name, via="narrow") for name in names]
    assert [ended(process) for process in joins] == [0] * len(names)
    assert all(w.row("machine", name) for name in names)
    assert any("others are joining here" in p.text() for p in joins)
    assert "others are joining here" in relay.text()
