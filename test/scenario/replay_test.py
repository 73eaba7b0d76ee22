"""Orders, route tables and lists of revoked keys from the past, or made up,
said by who holds a server's own certificate: a copy of its state that somebody
starts later (S4).  And a member that speaks of what is others' (S2)."""
import shutil
import sqlite3
import zlib

import pytest

from harness import wait_until
from puppet import Puppet, unpack


def incarnation(state):
    with sqlite3.connect(f"file:{state}/longarm.db?mode=ro", uri=True) as db:
        [(text,)] = db.execute(
            "SELECT value FROM setting WHERE name = 'incarnation'").fetchall()
    secs, random = text.decode().split("-")
    return {"secs": int(secs), "random": random}


@pytest.fixture(scope="module")
def w(shared):
    shared.server()
    # What a thief has: the server's state, as it was once.
    assert shared.server_process.stop() == 0
    shutil.copytree(shared.state, shared.directory / "copy")
    shared.copy = shared.directory / "copy" / "node"
    shared.life = incarnation(shared.directory / "copy")
    shared.server_process.start()
    shared.wait_for_server()
    shared.relay("dc2-a")
    shared.tentacle("web-01")
    shared.tentacle("web-02", via="dc2-a", dialled=False)
    shared.ids = {m["name"]: m["id"] for m in shared.json("machine", "list")}
    return shared


def welcome(w, puppet, seal, life=None):
    greet = puppet.wait_for(seal, lambda m: m.get("op") == "greet")
    puppet.say(seal, op="welcome", node="n1", incarnation=life or w.life,
               revocations={"agents": 0, "nodes": 0})
    return greet


def order(w, machine, life=None):
    """A server from the past, with a seal to the machine."""
    puppet = Puppet(w, machine.address(), w.copy)
    seal = puppet.open(f"machine/{w.ids[machine.name]}", "health")
    welcome(w, puppet, seal, life)
    return puppet, seal


def refusal(reply):
    return reply["fault"]["code"], reply["fault"].get("text", "")


def test_orders_of_the_past_have_no_effect(w):
    machine = w.machines["web-01"]
    task = w.start_run("echo ran >> $HOME/ran; "
                       "while [ ! -e $HOME/go ]; do sleep 0.05; done; "
                       "echo out", "-m", "web-01")
    wait_until(lambda: machine.lines("ran") == ["ran"], "the script")
    # The very order, as it came.
    [spec] = (machine.state / "runs").glob("*/spec")
    start = unpack(spec.read_bytes())
    cancel = {"op": "cancel", "ticket": start["ticket"],
              "task": start["task"], "epoch": start["epoch"]}
    # Meanwhile the true server has claimed its task anew.
    w.server_process.restart()
    w.wait_for_server()
    puppet, seal = order(w, machine)
    puppet.wait_for(seal, lambda m: m.get("op") == "confirm")
    assert refusal(wait_until(
        lambda: (lambda r: "fault" in r and r)(puppet.ask(seal, **start)),
        "a newer owner"))[0] == "superseded"
    code, text = refusal(puppet.ask(seal, **cancel))
    assert code == "superseded" and "has a newer owner" in text, text
    assert "fault" not in puppet.ask(
        seal, op="forget", tickets=[start["ticket"]])
    puppet.say(seal, op="ack", offset=1 << 40)
    old = {"secs": w.life["secs"] - 1, "random": "ab" * 16}
    code, text = refusal(puppet.ask(seal, **(
        start | {"epoch": 99, "incarnation": old, "ticket": "cd" * 16})))
    assert code == "superseded" and "was replaced" in text, text
    # Nothing of it has done anything.
    assert w.run_state(task, "web-01") == "running"
    machine.touch("go")
    w.wait_task(task, "succeeded")
    assert w.cli("task", "log", task).out.count("out") == 1
    # Nor after the machine's own restart, also with the number of today.
    machine.process.restart()
    w.wait_presence("machine", "web-01")
    puppet, seal = order(w, machine)
    assert refusal(puppet.ask(seal, **start))[0] == "superseded"
    assert refusal(puppet.ask(seal, **cancel))[0] == "superseded"
    today = {"epoch": start["epoch"] + 1}
    assert puppet.ask(seal, **(start | today))["state"] == "exited"
    assert puppet.ask(seal, **(cancel | today))["state"] == "exited"
    assert machine.lines("ran") == ["ran"]
    # A whole server of before the database was replaced gets no further.
    puppet, seal = order(w, machine, old)
    assert puppet.closed(seal).startswith("superseded"), puppet.lines
    assert "the server's database was replaced" in machine.process.text()
    w.cli("run", "-m", "web-01", "--", "echo ran >> $HOME/ran")
    assert machine.lines("ran") == ["ran", "ran"]


def revoke(w, name, count):
    """The signed list of so many."""
    w.join(name, dialled=False, words=("-e", "prod"))
    kept = [w.relays["dc2-a"].state / "revoked-agents",
            w.machines["web-01"].state / "revoked-agents"]
    w.cli("machine", "revoke", name)
    wait_until(lambda: all(f.exists() and listed(f) == count for f in kept),
               "the list everywhere")
    return kept[0].read_bytes()


def listed(file):
    return len(unpack(unpack(file.read_bytes())["body"])["hashes"]) // 32


def tell_list(puppet, seal, signed, number):
    return puppet.ask(seal, op="revoked", list="agents", number=number,
                      size=len(signed), offset=0, piece=signed)


def test_what_is_older_or_forged_never_replaces_the_newer(w):
    older, newer = revoke(w, "bad", 1), revoke(w, "worse", 2)
    number = unpack(unpack(newer)["body"])["number"]
    relay, machine = w.relays["dc2-a"], w.machines["web-01"]
    # A copy of it instead of the server.
    assert w.server_process.stop() == 0
    at_relay = Puppet(w, f"127.0.0.1:{relay.port}", w.copy)
    control = at_relay.open("relay/dc2-a", "control")
    known = welcome(w, at_relay, control)["table_version"]
    assert known > 0
    at_machine, standing = order(w, machine)
    forged = newer[:-1] + bytes([newer[-1] ^ 1])
    body = unpack(newer)
    made_up = older.replace(unpack(older)["body"], body["body"])
    for puppet, seal in ((at_relay, control), (at_machine, standing)):
        reply = tell_list(puppet, seal, older, number - 1)
        assert reply["revocations"]["agents"] == number, reply
        for wrong in (forged, made_up):
            assert refusal(tell_list(puppet, seal, wrong, number + 1))[1]
        assert tell_list(puppet, seal, older, number - 1)[
            "revocations"]["agents"] == number
    page = {"op": "table-page", "incarnation": w.life, "from_seq": 0,
            "seq": known - 1, "page": 0, "last": True, "entries": []}
    past = {"secs": w.life["secs"] - 1, "random": "ab" * 16}
    pages = (page, page | {"from_seq": known + 5, "seq": known + 6},
             page | {"incarnation": past, "seq": known + 100})
    for i, wrong in enumerate(pages):
        at_relay.say(control, **wrong)
        wait_until(lambda n=i: len([m for m in at_relay.heard(control)
                                    if m.get("op") == "table-ack"]) > n,
                   "what it has")
    assert at_relay.ask(control, op="status")["table_seq"] == known
    assert relay.text().count("does not follow") == 2
    assert "of the database of" in relay.text()
    at_relay.end()
    at_machine.end()
    w.server_process.start()
    w.wait_for_server()
    w.wait_presence("machine", "web-02")
    w.cli("run", "-m", "web-01", "-m", "web-02", "--", "true")


# --- A member that speaks of what is others' ----------------------------------


def kept(machine, file):
    return (machine.state / file).read_text(encoding="utf-8")


def member(w, machine, **more):
    """A machine that has joined and never ran, led by the test."""
    return Puppet(w, w.upstream(None), machine.state / "identity", **more)


def greet(puppet, seal, token):
    puppet.say(seal, op="greet", instance=puppet.instance, counter=1,
               revocations={"agents": 0, "nodes": 0}, version="0.1.0",
               **({"succession": token} if token else {}))


def serve(puppet, seal, token):
    """An honest beginning; the token for the next seal."""
    puppet.wait(f"opened {seal}")
    greet(puppet, seal, token)
    got = puppet.wait_for(seal, lambda m: m.get("op") == "welcome")
    puppet.say(seal, op="confirm", counter=1)
    return got.get("succession") or token


def blamed(w, action):
    """(who, object) of what was refused so."""
    return wait_until(lambda: [(a["who"], a["object"]) for a in w.audit()
                               if a["action"] == action], action)


def test_who_claims_to_be_another_instance_is_held(w):
    good, liar = w.machines["web-01"], w.join(
        "liar", dialled=False, words=("-e", "prod"))
    journal = kept(good, "member").split("journal ")[1].split()[0]
    puppet = member(w, liar, start=1 << 40, journal=journal)
    task = w.start_run("true", "-m", "liar", "--queue", "60s")
    puppet.wait("opened 1")
    greet(puppet, 1, None)
    assert puppet.closed(1).startswith("clone"), puppet.lines
    assert ("machine liar", journal) in blamed(w, "machine.held")
    w.cli("task", "cancel", task, code=None)
    # Whose journal it showed has not noticed.
    assert w.row("machine", "web-01")["hold"] == ""
    w.cli("run", "-m", "web-01", "--", "true")


def test_answers_and_logs_of_others_are_refused(w):
    good = w.machines["web-01"]
    forger = w.join("forger", dialled=False, words=("-e", "prod"))
    theirs = w.start_run("echo mine; while [ ! -e $HOME/on ]; do sleep 0.05; "
                         "done", "-m", "web-01")
    wait_until(lambda: "mine" in w.cli("task", "log", theirs).out, "its log")
    [ticket] = {p.parent.name for p in (good.state / "runs").glob("*/spec")}
    puppet = member(w, forger)
    own = w.start_run("true", "-m", "forger", "--queue", "60s")
    token = serve(puppet, 1, bytes.fromhex(kept(forger, "succession")))
    start = puppet.wait_for(1, lambda m: m.get("op") == "start")
    # As if it were the other's answer, to what the other was asked.
    puppet.say(1, re="tickets", id=start["id"] + 7, journal="", counter=1,
               tickets=[{"ticket": ticket, "state": "exited"}])
    assert puppet.closed(1).startswith("protocol"), puppet.lines
    assert ("machine forger", "tickets") in blamed(w, "answer.refused")
    # Its own order comes again, and it tells another log than was asked for.
    token = serve(puppet, 2, token)
    start = puppet.wait_for(2, lambda m: m.get("op") == "start", "it again")
    puppet.say(2, re="start", id=start["id"], journal="", counter=1,
               state="running")
    serve(puppet, 3, token)
    puppet.wait_for(3, lambda m: m.get("op") == "attach")
    lie = b"all is well\n"
    puppet.say(3, op="output", offset=5, data=lie, crc32=zlib.crc32(lie))
    puppet.closed(3)
    assert ("machine forger", f"ticket {start['ticket']}") in blamed(
        w, "log.refused")
    puppet.end()
    w.cli("task", "cancel", own, code=None)
    good.touch("on")
    w.wait_task(theirs, "succeeded")
    assert "all is well" not in w.cli("task", "log", theirs).out
