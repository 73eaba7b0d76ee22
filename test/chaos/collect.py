"""From a world that has come to rest to a history.History.

Server and tentacles have ended: the database, the logs, the journals and what
scripts wrote of themselves are read as they are.
"""
import json
import sqlite3
import subprocess
from collections import defaultdict

from faults import TOOLS
from history import Deed, History, Result, Run, Task, Ticket

TASKS = "SELECT id, state, partial FROM task"
RUNS = """
SELECT r.*, m.name AS machine, a.name AS step, a.type AS type,
  0 AS log_base
FROM run r
JOIN block_target t ON t.task = r.task AND t.block = r.block
  AND t.ordinal = r.target
JOIN task_machine m ON m.task = r.task AND m.ordinal = t.machine
JOIN action a ON a.task = r.task AND a.block = r.block
  AND a.ordinal = r.action
"""
FACTS = """
SELECT task, block, target, action, detail FROM fact
WHERE block IS NOT NULL
"""
AUDIT = """
SELECT object FROM audit WHERE action IN ('run.create', 'deployment.create')
"""


def read_log(state, row):
    path = (state / "logs" / f"task-{row['task']}"
            / f"{row['block']}-{row['target']}-{row['action']}.log")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def key_of(row):
    return row["task"], row["block"], row["target"], row["action"]


def tickets_of_facts(db):
    """{run: every ticket that it ever had}"""
    found = defaultdict(set)
    for row in db.execute(FACTS):
        ticket = json.loads(row["detail"]).get("ticket", "")
        if ticket:
            found[key_of(row)].add(ticket)
    return found


def read_server(state):
    db = sqlite3.connect(state / "longarm.db")
    db.row_factory = sqlite3.Row
    tickets = tickets_of_facts(db)
    made = defaultdict(int)
    for row in db.execute(AUDIT):
        made[int(row["object"].split(" ")[0].split("-")[1])] += 1
    tasks = {row["id"]: Task(row["id"], row["state"], [], made[row["id"]],
                              bool(row["partial"]))
             for row in db.execute(TASKS)}
    for row in db.execute(RUNS):
        sha = row["log_sha256"]
        ticket = row["ticket"] or ""
        tasks[row["task"]].runs.append(Run(
            row["machine"], row["step"], row["type"], row["state"], ticket,
            row["running_ms"] > 0, row["exit_code"], row["signal"],
            row["reason"], row["reason_text"], read_log(state, row),
            row["log_size"], sha.hex() if sha else "", row["log_base"],
            tickets[key_of(row)] - {ticket}))
    db.close()
    return tasks


def read_deeds(machine):
    """Its marker lines, by ticket and script."""
    found = {}
    for line in machine.lines("deeds"):
        words = line.split()
        what, ticket, script = words[:3]
        deed = found.setdefault((ticket, script), Deed(
            machine.name, ticket, script, 0))
        if what == "begin":
            deed.begun += 1
        else:
            deed.codes.append(int(words[3]))
    return list(found.values())


def read_journal(machine):
    """{ticket: Ticket}, by test/tools/journal_dump.c."""
    done = subprocess.run(
        [str(TOOLS / "journal_dump"), str(machine.state / "journal")],
        capture_output=True, text=True, check=False)
    found = defaultdict(Ticket)
    for line in done.stdout.splitlines():
        what, ticket, *more = line.split()
        t = found[ticket]
        if what == "accepted":
            t.accepted += 1
        elif what == "exec":
            t.marks.append(more[0])
        elif what == "tombstone":
            t.tombstone = True
        elif what == "ended" and t.ended is None:
            state, code, signal, cause, sha = more
            t.ended = Result(state, int(code), int(signal), cause,
                             "" if sha == "-" else sha)
    return dict(found)


def collect(world, wishes, hits):
    deeds, journals = [], {}
    for name, machine in world.machines.items():
        deeds += read_deeds(machine)
        journals[name] = read_journal(machine)
    return History(wishes, read_server(world.state), deeds, journals, hits)
