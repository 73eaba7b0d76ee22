"""Joins that a person approves, or carries on a stick."""
import json

import pytest

from harness import wait_until


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
