"""A tentacle replaced by another version while 50 scripts run (R14, row 28), and
a state directory that two versions share.

The other version is made of the same program, with another version text in it.
"""
import json
import zlib

import pytest

from harness import BIN, wait_until

COUNT = 50
OLD, NEW = b"0.1.0", b"0.1.1"
BODY = ('echo "$LONGARM_TICKET" >>"$HOME/ran"; echo begun; '
        'while [ ! -e "$HOME/go" ]; do sleep 0.1; done; echo done; exit ')


@pytest.fixture(scope="module")
def w(shared):
    shared.server()
    shared.tentacle("web-01", settings={"tentacle.running": COUNT})
    return shared


def other_version(directory):
    """Tentacle and guardian of N+1, beside each other."""
    for name in ("longarm-tentacle", "longarm-guardian"):
        program = (BIN / name).read_bytes()
        assert OLD in program
        (directory / name).write_bytes(program.replace(OLD, NEW))
        (directory / name).chmod(0o755)
    return str(directory / "longarm-tentacle")


def switch(w, machine, program):
    argv = machine.process.argv
    machine.process.kill()
    machine.process.argv = [program] + argv[1:]
    machine.process.start()
    w.wait_presence("machine", machine.name)


def version(w):
    login = json.loads((w.state / "operator.login").read_text())
    status, body = w.api("GET", "/api/v1/machines/web-01/route", login["key"])
    return json.loads(body)["tentacle_version"] if status == 200 else ""


@pytest.mark.soak
def test_fifty_scripts_outlive_an_upgrade_and_the_way_back(w, tmp_path):
    machine = w.machines["web-01"]
    for left in ("ran", "go"):
        machine.path(left).unlink(missing_ok=True)
    key = json.loads((w.state / "operator.login").read_text())["key"]
    tasks = []
    for code in range(COUNT):
        status, body = w.api(
            "POST", "/api/v1/run", key, json.dumps(
                {"machines": ["web-01"], "script": f"{BODY}{code}"}))
        assert status == 201, body
        tasks.append(json.loads(body)["id"])
    wait_until(lambda: len(machine.lines("ran")) == COUNT, "all of them")
    switch(w, machine, other_version(tmp_path))
    wait_until(lambda: version(w) == NEW.decode(), "the new version")
    # One that begins under the new version ends under the old.
    late = w.start_run(f"{BODY}99", "-m", "web-01", "--queue", "60s")
    switch(w, machine, "longarm-tentacle")
    wait_until(lambda: version(w) == OLD.decode(), "the old version")
    machine.touch("go")
    wait_until(lambda: all(t["state"] in ("failed", "succeeded")
                           for t in w.json("task", "list")), "all ends")
    for code, task in enumerate(tasks + [late]):
        [run] = json.loads(w.api("GET", f"/api/v1/tasks/{task}/runs",
                                  key)[1])["items"]
        assert run["exit_code"] == (99 if task == late else code), run
    # None was started twice.
    ran = machine.lines("ran")
    assert len(ran) == len(set(ran)) == COUNT + 1


def frame(counter, records):
    """As tentacle/journal_record.h has it."""
    number = counter.to_bytes(8, "little")
    return (b"LgF1" + len(records).to_bytes(4, "little") + number
            + zlib.crc32(number + records).to_bytes(4, "little") + records)


def record(kind, body=b"of tomorrow"):
    return (len(body) + 1).to_bytes(2, "little") + bytes([kind]) + body


def last_counter(journal):
    at = journal.rindex(b"LgF1")
    return int.from_bytes(journal[at + 8:at + 16], "little")


@pytest.mark.soak
def test_a_journal_of_a_newer_version_is_read_or_refused_in_words(w):
    machine = w.machines["web-01"]
    journal = machine.state / "journal"
    machine.touch("go")
    assert machine.process.stop() == 0
    before = journal.read_bytes()
    # What may be skipped is.
    journal.write_bytes(
        before + frame(last_counter(before) + 1, record(200)))
    machine.process.start()
    w.cli("run", "-m", "web-01", "--", "true")
    assert machine.process.stop() == 0
    # What may not stops all orders, and says what to do.
    good = journal.read_bytes()
    journal.write_bytes(good + frame(last_counter(good) + 1, record(100)))
    machine.process.start()
    result = w.cli("run", "-m", "web-01", "--", "echo never >>$HOME/never",
                   code=5)
    assert "newer longarm-tentacle" in result.err, result
    assert machine.lines("never") == []
    assert machine.process.stop() == 0
    journal.write_bytes(good)
    machine.process.start()
    w.cli("machine", "release", "web-01", code=None)
    w.cli("run", "-m", "web-01", "--", "true")
