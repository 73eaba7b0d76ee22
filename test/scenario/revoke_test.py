"""Keys that were revoked: cut off at once, everywhere, for ever."""
import shutil
import sqlite3
import time

import pytest
from harness import SLOW, wait_until

# What docs/security.md promises on every live path.
PROMISED = 10 * SLOW


def stays_away(w, name, seconds=1.5):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert w.row("machine", name)["presence"] != "online"
        time.sleep(0.1)


def refuse_again(w, machine, via):
    """The same key asks for a certificate once more."""
    token = w.token(f"again-{machine.name}")
    upstream = w.upstream(via)
    # As if the answer to its join had been lost: the key is there.
    copy = w.directory / f"copy-{machine.name}"
    copy.mkdir(mode=0o700)
    shutil.copytree(machine.state / "identity", copy / "joining")
    for name in ("cert.pem", "roots.pem"):
        (copy / "joining" / name).unlink()
    return w.call(["longarm-tentacle", "join", "--state", str(copy),
                   "--token-file", str(token), upstream])


@pytest.mark.parametrize("dialled", [True, False])
def test_a_revoked_machine_is_cut_off_and_stays_out(world, dialled):
    w = world
    w.server()
    relay = w.relay()
    bad = w.tentacle("bad", via="dc2-a", dialled=dialled)
    good = w.tentacle("good", via="dc2-a", dialled=dialled)
    w.cli("run", "--all", "--", "true")
    asked = time.monotonic()
    w.cli("machine", "revoke", "bad")
    wait_until(lambda: "was revoked" in relay.text(), "the relay's word",
               PROMISED)
    w.wait_presence("machine", "bad", "offline")
    assert time.monotonic() - asked < PROMISED
    stays_away(w, "bad")
    w.wait_presence("machine", "good")
    w.cli("run", "-m", "good", "--", "true")
    # Not by another start, nor by the server's and the relay's.
    bad.process.restart()
    relay.restart()
    w.server_process.restart()
    w.wait_for_server()
    w.wait_presence("machine", "good")
    stays_away(w, "bad")
    wait_until(lambda: (good.state / "revoked-agents").exists(),
               "the list on the other machine", PROMISED)
    # Its key joins no more, a new one does.
    bad.process.kill()
    refused = refuse_again(w, bad, "dc2-a")
    assert refused.code != 0 and "revoked" in refused.err, refused
    again = w.cli("machine", "revoke", "bad", code=None)
    assert again.code != 0 and "nothing to revoke" in again.err, again
    shutil.rmtree(bad.home)
    w.machines.pop("bad")
    (w.office / "bad.token").unlink()
    fresh = w.tentacle("bad", via="dc2-a", dialled=dialled, wait=False)
    if dialled:  # at another port than the routes of its row say
        w.cli("machine", "set-route", "bad", f"dc2-a={fresh.address()}")
    w.wait_presence("machine", "bad")
    w.cli("run", "-m", "bad", "--", "true")


def test_a_revoked_relay_is_cut_off_and_its_machines_lose_it(world):
    w = world
    w.server()
    relay = w.relay()
    w.relay("dc2-b")
    machine = w.tentacle("web-01", via="dc2-a", dialled=False)
    other = w.tentacle("web-02", via="dc2-b", dialled=False)
    w.cli("run", "--all", "--", "true")
    w.cli("relay", "revoke", "dc2-a", "--reason", "stolen from its rack")
    wait_until(lambda: w.row("relay", "dc2-a")["presence"] != "online",
               "the relay gone", PROMISED)
    w.wait_presence("machine", "web-02")
    assert w.row("machine", "web-01")["presence"] != "online"
    wait_until(lambda: (other.state / "revoked-agents").exists(),
               "the list on a machine", PROMISED)
    # Who reaches the server by another way hears of it there, and leaves it.
    w.cli("machine", "set-route", "web-01", f"direct={machine.address()}")
    machine.process.kill()
    machine.process.argv += ["--listen", machine.address()]
    machine.process.start()
    w.wait_presence("machine", "web-01")
    wait_until(lambda: "was revoked" in machine.process.text(),
               "the machine's word about its relay", PROMISED)
    w.cli("run", "-m", "web-01", "--", "true")
    assert relay.is_running()


def test_a_machine_that_was_away_learns_what_was_revoked(world):
    w = world
    w.server()
    w.relay()
    w.tentacle("bad", via="dc2-a")
    away = w.tentacle("away", via="dc2-a")
    w.cli("run", "--all", "--", "true")
    away.process.kill()
    w.wait_presence("machine", "away", "offline")
    w.cli("machine", "remove", "bad")
    away.process.start()
    wait_until(lambda: (away.state / "revoked-agents").exists(), "the list",
               PROMISED)
    w.cli("run", "-m", "away", "--", "true")


def test_a_database_that_was_set_back_still_revokes(world):
    w = world
    w.server()
    w.relay()
    w.tentacle("bad", via="dc2-a")
    w.tentacle("worse", via="dc2-a")
    assert w.server_process.stop() == 0
    backup = w.directory / "backup.db"
    shutil.copy(w.state / "longarm.db", backup)
    w.server_process.start()
    w.wait_for_server()
    w.cli("machine", "revoke", "worse")
    w.wait_presence("machine", "worse", "offline")
    assert w.server_process.stop() == 0
    shutil.copy(backup, w.state / "longarm.db")
    said = w.call(["longarm-server", "restored", "--state", str(w.state)])
    assert said.code == 0, said
    w.server_process.start()
    w.wait_for_server()
    w.wait_presence("machine", "bad")
    wait_until(lambda: "set back" in w.server_process.text(), "a word")
    # The same number for another key: they would not listen.
    w.cli("machine", "revoke", "bad")
    w.wait_presence("machine", "bad", "offline")
    stays_away(w, "bad")


def test_a_revoked_key_is_in_the_audit(world):
    w = world
    w.server()
    w.tentacle("bad")
    w.cli("machine", "revoke", "bad")
    assert w.server_process.stop() == 0
    found = sqlite3.connect(
        f"file:{next(w.state.glob('*.db'))}?mode=ro", uri=True).execute(
            "SELECT object FROM audit WHERE action = 'machine.revoke'")
    assert found.fetchall() == [("machine bad",)]
