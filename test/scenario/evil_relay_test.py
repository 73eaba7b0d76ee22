"""A relay with a valid identity that does all it can to what it carries: no
order is forged, altered or carried out twice (S3, S4).  What it can do is
delay, drop, see shapes, and say things, which are shown as its word."""
import pytest

from faults import TOOLS
from harness import wait_until

AT_FIRST = ("alter", "repeat", "playback", "swap", "no-route")
MIDWAY = ("alter", "repeat", "reorder", "inject", "drop", "playback")


class Evil:
    """test/tools/evil_relay.c in the place of a relay that has joined."""

    def __init__(self, w, name):
        self.file = w.directory / "evil"
        self.process = w.relays[name]
        self.honest()
        self.process.kill()
        self.process.argv = [str(TOOLS / "evil_relay"),
                             *self.process.argv[1:]]
        self.process.environment = {**w.environment, "EVIL": str(self.file)}
        self.process.start()

    def honest(self):
        self.file.write_text("honest\n")

    def deeds(self, deed):
        return self.process.text().count(f"deed {deed}")

    def do(self, deed, times=2):
        """From now on, and wait until it has been done some times."""
        word = deed.split()[0]
        before = self.deeds(word)
        self.file.write_text(deed + "\n")
        return lambda: wait_until(
            lambda: self.deeds(word) >= before + times, deed, 20)


@pytest.fixture(scope="module")
def w(shared):
    shared.server()
    shared.relay("dc2-a")
    shared.tentacle("web-01", via="dc2-a")
    shared.tentacle("web-02", via="dc2-a")
    shared.tentacle("direct")
    shared.evil = Evil(shared, "dc2-a")
    for name in ("web-01", "web-02"):
        shared.wait_presence("machine", name)
        # The tape that `playback` plays later holds this order.
        shared.cli("run", "-m", name, "--", "echo taped >> $HOME/taped")
    return shared


def files(w, name):
    """Each machine's lines of a file."""
    return [w.machines[m].lines(name) for m in ("web-01", "web-02", "direct")]


@pytest.mark.parametrize("deed", AT_FIRST)
def test_an_order_is_carried_out_once_or_not_at_all(w, deed):
    done = w.evil.do(deed, times=1)
    task = w.start_run(f"echo ran >> $HOME/{deed}", "-m", "web-01")
    done()
    # Nothing was done by anybody else, nor anything old again.
    assert files(w, deed)[1:] == [[], []]
    if deed == "swap":
        wait_until(lambda: ("seal.refused", "route dc2-a", "machine web-01")
                   in [(a["action"], a["who"], a["object"])
                       for a in w.audit()], "the audit")
    w.evil.honest()
    w.wait_task(task, "succeeded")
    assert files(w, deed) == [["ran"], [], []]
    assert files(w, "taped") == [["taped"], ["taped"], []]


@pytest.mark.parametrize("deed", MIDWAY)
def test_what_runs_ends_once_and_its_log_is_whole(w, deed):
    name, machine = f"mid-{deed}", w.machines["web-01"]
    task = w.start_run(
        f"echo begin >> $HOME/{name}; i=0; while [ ! -e $HOME/go-{deed} ]; do "
        f"echo line $i; i=$((i + 1)); sleep 0.02; done; "
        f"echo end >> $HOME/{name}", "-m", "web-01")
    wait_until(lambda: machine.lines(name) == ["begin"], "its beginning")
    w.evil.do(deed, times=1)()
    w.evil.honest()
    machine.touch(f"go-{deed}")
    w.wait_task(task, "succeeded")
    assert files(w, name) == [["begin", "end"], [], []]
    log = [line for line in w.cli("task", "log", task).lines()
           if "line " in line]
    assert [line.split("line ")[1] for line in log] == [
        str(i) for i in range(len(log))] and log


def test_what_it_says_of_others_is_not_believed(w):
    """It may speak for those behind it, and that is told as its word."""
    direct = w.row("machine", "direct")["id"]
    w.evil.process.kill()
    done = w.evil.do(f"slander {direct}", times=1)
    w.evil.process.start()
    done()
    w.wait_presence("machine", "web-01", "offline")
    assert "dc2-a says" in w.cli("machine", "show", "web-01").out
    assert w.row("machine", "direct")["presence"] == "online"
    w.cli("run", "-m", "direct", "--", "true")


def test_who_is_not_there_does_nothing_whatever_it_says(w):
    w.machines["web-02"].process.kill()
    w.evil.process.kill()
    done = w.evil.do("ghost", times=1)
    w.evil.process.start()
    done()
    w.wait_presence("machine", "web-01")
    task = w.start_run("echo ran >> $HOME/ghost", "-m", "web-02")
    w.cli("run", "-m", "web-01", "--", "echo ran >> $HOME/ghost")
    assert w.task(task)["state"] != "succeeded"
    w.machines["web-02"].process.start()
    w.evil.honest()
    w.wait_task(task, "succeeded")
    assert files(w, "ghost") == [["ran"], ["ran"], []]


def test_another_route_leads_around_it(w):
    """While it goes on: whatever failed before the machine had proven itself
    may be the relay's deed."""
    machine = w.machines["web-01"]
    w.cli("machine", "set-route", "web-01", f"dc2-a={machine.address()}",
          f"direct={machine.address()}")
    w.cli("run", "-m", "web-01", "--", "true")
    wait_until(lambda: w.row("machine", "web-01")["route"] == "dc2-a",
               "the first route in use")
    done = w.evil.do("alter", times=1)
    w.cli("run", "-m", "web-01", "--", "echo ran >> $HOME/around")
    done()
    assert files(w, "around") == [["ran"], [], []]
