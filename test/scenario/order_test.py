"""One order said often, late, after its end, or by a server that was overtaken:
the script runs once.  And a cancel ends everything soon, wherever it finds it.
"""
import contextlib
import json
import secrets
import shutil
import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from harness import SLOW, free_port, wait_until, write
from puppet import Puppet, unpack
from replay_test import incarnation, welcome

# Started at most once, and told to stop: done within this.
CANCEL_S = 10


@pytest.fixture(scope="module")
def w(shared):
    shared.use_failing()
    shared.server()
    # Another process with the server's own identity.
    assert shared.server_process.stop() == 0
    shutil.copytree(shared.state, shared.directory / "copy")
    shared.copy = shared.directory / "copy" / "node"
    shared.life = incarnation(shared.directory / "copy")
    shared.server_process.start()
    shared.wait_for_server()
    for i in range(6):
        shared.tentacle(f"web-{i + 1:02}")
    shared.ids = {m["name"]: m["id"] for m in shared.json("machine", "list")}
    return shared


GATED = ('echo x >>"$HOME/ran"; echo begun; '
         'while [ ! -e "$HOME/go" ]; do sleep 0.02; done; echo done; exit 3')


def order(w, ticket, body=GATED, **more):
    return {"op": "start", "ticket": ticket, "task": "task-900", "epoch": 1,
            "incarnation": w.life, "journal": "", "counter": 0,
            "timeout_ms": 60000,
            "script": {"name": "run", "body": body.encode()}} | more


def connect(w, machine, count=1):
    """So many links with a seal each, all of one instance."""
    first, made = None, []
    for _ in range(count):
        puppet = Puppet(w, machine.address(), w.copy,
                        **(first.instance if first else {}))
        first = first or puppet
        made.append((puppet, puppet.open(f"machine/{w.ids[machine.name]}",
                                         "health")))
        welcome(w, *made[-1])
    return made


def say_often(links, message, times):
    """The replies, in any order, without what differs by nature."""
    for n in range(times):
        for puppet, seal in links:
            puppet.say(seal, **(message | {"id": 1000 + n}))
    found = []
    for puppet, seal in links:
        def replies(puppet=puppet, seal=seal):
            heard = [m for m in puppet.heard(seal) if m.get("re") == "start"
                     and 1000 <= m["id"] < 1000 + times]
            return heard if len(heard) == times else None
        found += wait_until(replies, "all replies")
    return [{k: v for k, v in m.items() if k not in ("id", "counter")}
            for m in found]


def test_one_order_a_hundred_times_over_ten_links_is_one_run(w):
    assert w.server_process.stop() == 0
    machine = w.machines["web-01"]
    message = order(w, secrets.token_hex(16))
    links = connect(w, machine, 10)
    replies = say_often(links, message, 10)
    assert len(replies) == 100
    assert {m["state"] for m in replies} <= {"accepted", "running"}
    machine.touch("go")
    puppet, seal = links[0]
    wait_until(lambda: puppet.ask(seal, **message)["state"] == "exited",
               "its end")
    for one, _ in links:
        one.end()
    links = connect(w, machine, 10)
    replies = say_often(links, message, 10)
    assert len(replies) == 100 and all(m == replies[0] for m in replies)
    assert replies[0]["result"]["exit_code"] == 3, replies[0]
    assert machine.lines("ran") == ["x"]
    # The server has it now; the machine forgets all but how it ended (R5).
    puppet, seal = links[0]
    puppet.ask(seal, op="forget", tickets=[message["ticket"]])
    assert not (machine.state / "runs" / message["ticket"]).exists()
    for one, _ in links:
        one.end()
    machine.process.restart()
    [link] = connect(w, machine)
    late = link[0].ask(link[1], **message)
    assert late["result"] == replies[0]["result"], late
    assert machine.lines("ran") == ["x"]
    # Cancelled before it came: it never runs.
    puppet, seal = link
    ticket = secrets.token_hex(16)
    puppet.ask(seal, op="cancel", ticket=ticket, task="task-900", epoch=1)
    reply = puppet.ask(seal, **order(w, ticket))
    assert reply["state"] == "cancelled", reply
    machine.process.restart()
    link[0].end()
    [(puppet, seal)] = connect(w, machine)
    assert puppet.ask(seal, **order(w, ticket))["state"] == "cancelled"
    assert machine.lines("ran") == ["x"]
    puppet.end()
    w.server_process.start()
    w.wait_for_server()
    for name in w.machines:
        w.wait_presence("machine", name)
        w.machines[name].path("ran").unlink(missing_ok=True)
        w.machines[name].path("go").unlink(missing_ok=True)


# Who waits there while somebody cancels.
SERVER_STAGES = ["task.committed", "task.claimed", "start.committed",
                 "start.sent", "start.answered", "result.received",
                 "result.committed"]
MACHINE_STAGES = [
    ["ticket.ordered", "ticket.spec-written", "ticket.accepted",
     "ticket.answered", "script.prepared", "script.marked"],
    ["script.guarded", "supervisor.ready", "shim.ready", "script.ready",
     "script.begun", "shim.watching"],
    ["shim.ended", "shim.recorded", "script.over", "result.recorded",
     "cancel.recorded", ""]]
ENDED = ("result.received", "result.committed", "shim.ended", "shim.recorded",
         "script.over", "result.recorded")
# A program ends with the thread that started it, so these stay.
POOL = ThreadPoolExecutor(6)


def cancel_at(w, machine, fail, name):
    machine.path("ran").unlink(missing_ok=True)
    machine.path("go").unlink(missing_ok=True)
    if name in ENDED:
        machine.touch("go")
    if name:
        fail.set(name, "pause")
    task = w.start_run(GATED, "-m", machine.name)
    if name not in ("", "cancel.recorded"):
        fail.wait(name)
    else:
        wait_until(lambda: machine.lines("ran"), "the script")
    w.cli("task", "cancel", task, code=None if name in ENDED else 0)
    if name == "cancel.recorded":
        fail.wait(name)
    began = time.monotonic()
    fail.clear(name or "nothing")
    # Done already, or cancelled.
    result = w.cli("task", "wait", task, code=None)
    assert result.code in (5, 6), (name, result)
    assert time.monotonic() - began < CANCEL_S * SLOW, (name, result)
    [run] = w.runs(task).values()
    assert run["state"] in (("failed", "cancelled") if name in ENDED
                            else ("cancelled", "skipped")), (name, run)
    assert len(machine.lines("ran")) <= (run["state"] != "skipped"), name
    wait_until(lambda: not scripts_of(machine), f"no process of it: {name}")


@pytest.mark.soak
def test_a_cancel_ends_it_wherever_the_server_is(w):
    for name in SERVER_STAGES:
        cancel_at(w, w.machines["web-01"], w.fail("server"), name)


@pytest.mark.soak
@pytest.mark.parametrize("names", MACHINE_STAGES, ids=lambda names: names[0])
def test_a_cancel_ends_it_wherever_the_machine_is(w, names):
    jobs = [POOL.submit(cancel_at, w, machine, w.fail(machine.name), name)
            for machine, name in zip(w.machines.values(), names, strict=True)]
    for job in wait(jobs).done:
        job.result()


def scripts_of(machine):
    """Pids of scripts and guardians of this machine."""
    found = []
    for path in machine.state.glob("runs/*/run-*/record"):
        for line in path.read_text().splitlines():
            if not line.startswith(("supervisor", "shim", "exec")):
                continue
            pid = line.split("pid=")[1].split()[0]
            try:
                with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                    state = file.read().rsplit(")", 1)[1].split()[0]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if state not in "ZX":
                found.append(pid)
    return found


def check_cancelled(w, task, machine, ran):
    result = w.cli("task", "wait", task, code=6)
    wait_until(lambda: not scripts_of(machine), "no process of it")
    # And nothing comes of it later.
    machine.process.restart()
    w.cli("run", "-m", machine.name, "--", "true")
    assert len(machine.lines("ran")) <= ran, result


@pytest.mark.soak
def test_what_was_cancelled_while_its_machine_was_away_ends(w):
    """Row 7: it begins, as nobody could tell it, or never; and it ends."""
    machine = w.machines["web-01"]
    for left in ("ran", "go"):
        machine.path(left).unlink(missing_ok=True)
    w.fail("web-01").set("ticket.accepted")
    task = w.start_run(GATED, "-m", "web-01")
    wait_until(lambda: not machine.process.is_running(), "its end")
    w.cli("task", "cancel", task)
    machine.process.start()
    check_cancelled(w, task, machine, 1)


@pytest.mark.soak
def test_what_the_journal_has_as_cancelled_never_begins(w):
    """Row 7, and the machine dies between the cancel and its answer."""
    name = f"narrow-{secrets.token_hex(2)}"
    machine = w.tentacle(name, settings={"tentacle.running": 1})
    first = w.start_run(GATED, "-m", name)
    wait_until(lambda: machine.lines("ran"), "the script")
    task = w.start_run(GATED, "-m", name)
    wait_until(lambda: w.run_state(task, name) == "running", "its turn")
    w.fail(name).set("cancel.recorded")
    w.cli("task", "cancel", task)
    wait_until(lambda: not machine.process.is_running(), "its end")
    machine.touch("go")
    machine.process.start()
    w.cli("task", "wait", first, code=5)
    check_cancelled(w, task, machine, 1)
    machine.process.end()
    w.cli("machine", "remove", name)
    del w.machines[name]


# --- Two nodes believe that they own it: row 19 (R24) -------------------------

def take_over(w):
    """A copy of the server's state as it is now, in a later life of the
    database, on ports of its own."""
    state = w.directory / "node-2"
    shutil.copytree(w.state, state)
    (state / "lock").unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(state / "longarm.db")) as db:
        db.execute("UPDATE setting SET value = ? WHERE name = 'incarnation'",
                   (f"{w.life['secs'] + 60}-{w.life['random']}".encode(),))
        db.commit()
    argv = list(w.server_process.argv)
    http, links = free_port(), free_port()
    for word, port in (("--http-listen", http), ("--listen", links)):
        argv[argv.index(word) + 1] = f"127.0.0.1:{port}"
    argv[argv.index("--state") + 1] = str(state)
    process = w.spawn("server-2", argv)
    return process, http


# Not played again and again: each copy of the database has, of the round before,
# what its server may not finish.
def test_a_node_that_was_stopped_and_overtaken_starts_nothing(w):
    machine = w.machines["web-02"]
    for left in ("ran", "go"):
        machine.path(left).unlink(missing_ok=True)
    fail = w.fail("server")
    old = w.server_process
    # It has decided to order it, and stops (for a while) before it does.
    fail.set("start.committed", "pause")
    task = w.start_run(GATED, "-m", "web-02")
    fail.wait("start.committed")
    old.child.send_signal(signal.SIGSTOP)
    fail.clear("start.committed")
    new, http = take_over(w)
    wait_until(lambda: machine.lines("ran"), "the script, by the new one")
    old.child.send_signal(signal.SIGCONT)
    # The old one says what it wanted to say, and is refused.
    run = wait_until(lambda: (lambda r: r["fault"] and r)(
        w.runs(task)[(machine.name, "run")]), "the refusal")
    assert run["fault"]["code"] == "superseded", run
    assert machine.lines("ran") == ["x"]
    machine.touch("go")
    # At the new one: how it ended, as if nothing had been.
    login = json.loads((w.state / "operator.login").read_text())
    login["url"] = f"https://127.0.0.1:{http}"
    file = write(w.directory / "new.login", json.dumps(login), 0o600)
    theirs = w.environment["LONGARM_LOGIN"]
    w.environment["LONGARM_LOGIN"] = str(w.directory / "new")
    w.cli("login", "--file", file)
    result = w.cli("task", "wait", task, code=5)
    assert "exit code 3" in result.err, result
    assert machine.lines("ran") == ["x"]
    w.environment["LONGARM_LOGIN"] = theirs
    new.end()
