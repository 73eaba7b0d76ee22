"""A relay behind two relays, of which one may go at any time; and one relay
at the edge, which must know both ways."""
import pytest

from harness import wait_until

MACHINES = ("dials", "dialled")
WAYS = ["dc2-x/dc2-a/dc2-c", "dc2-x/dc2-b/dc2-c"]


def ways(w, machine):
    """{path: the rest of its line} of the routes, in order."""
    lines = w.json("route", "explain", machine)["explain"]
    found = [line.split(maxsplit=2) for line in lines if ". " in line[:6]]
    return {path.rstrip(","): rest for _, path, rest in found}


def wait_for_both(w):
    for name in MACHINES:
        wait_until(lambda name=name: list(ways(w, name)) == WAYS and all(
            ": up" in x for x in ways(w, name).values()), f"ways to {name}")
    for relay in ("dc2-a", "dc2-b", "dc2-c"):
        w.wait_presence("relay", relay)


@pytest.fixture(scope="module")
def w(shared):
    shared.server({"fleet.flap-stable": "500ms"})
    shared.relay("dc2-x")
    for name in ("dc2-a", "dc2-b"):
        shared.relay(name, via="dc2-x")
        shared.cli("relay", "set-listen", name,
                   f"127.0.0.1:{shared.relays[name].port}")
    shared.relay("dc2-c", via="dc2-a",
                 words=("--route", "dc2-a", "--route", "dc2-b"))
    shared.tentacle("dials", via="dc2-c", dialled=False)
    shared.tentacle("dialled", via="dc2-c")
    return shared


@pytest.fixture
def both(w):
    wait_for_both(w)
    yield
    for relay in w.relays.values():
        if not relay.is_running():
            relay.start()
    for machine in w.machines.values():
        for name in ("ran", "go"):
            machine.path(name).unlink(missing_ok=True)


def test_a_relay_that_dials_keeps_a_link_to_each_of_its_upstreams(w, both):
    assert w.row("relay", "dc2-c")["routes"] == ["dc2-a", "dc2-b"]
    peers = (w.relays["dc2-c"].state / "peers").read_text()
    for name in ("dc2-a", "dc2-b"):
        assert f"relay {name} 127.0.0.1:{w.relays[name].port}" in peers
    for name in MACHINES:
        given = w.row("machine", name)["routes"]
        assert len(given) == 1 and given[0].startswith(WAYS[0]), given
    assert ways(w, "dials").keys() == ways(w, "dialled").keys()


SCRIPT = ('echo x >>"$HOME/ran"; i=0; while [ $i -lt 300 ]; do i=$((i + 1)); '
          'echo line $i; sleep 0.005; done; '
          'while [ ! -e "$HOME/go" ]; do sleep 0.02; done; echo end')


def streams(w, relay):
    """Of the server's, through it."""
    return w.json("relay", "show", relay)["streams"]


def wait_for_line(w, task, line):
    wait_until(lambda: w.cli("task", "log", task).out.count(
        f"| line {line}\n") == len(MACHINES), f"line {line}")


@pytest.mark.sanitizer
def test_a_relay_that_loses_one_upstream_is_reached_by_the_other(w, both):
    task = w.start_run(SCRIPT, "--all")
    wait_for_line(w, task, 50)
    w.relays["dc2-a"].kill()
    wait_for_line(w, task, 300)
    for name in MACHINES:
        wait_until(lambda name=name: w.row("machine", name)["presence"]
                   == "online", f"{name} by the other way")
    assert w.row("relay", "dc2-c")["route"] == "dc2-x/dc2-b"
    w.cli("health", "run")
    assert all(w.row("machine", name)["health"] == "healthy"
               for name in MACHINES)
    assert not w.relays["dc2-a"].is_running()
    assert all(w.row("machine", name)["route"] == WAYS[1] for name in MACHINES)
    # All goes back when it is there again, also what runs.
    w.relays["dc2-a"].start()
    wait_for_both(w)
    wait_until(lambda: w.row("relay", "dc2-c")["route"] == "dc2-x/dc2-a",
               "the control session back")
    wait_until(lambda: streams(w, "dc2-b") == 0, "nothing left on dc2-b")
    assert streams(w, "dc2-a") >= len(MACHINES)
    for name in MACHINES:
        w.machines[name].touch("go")
    w.cli("task", "wait", task)
    log = w.cli("task", "log", task).lines()
    for name in MACHINES:
        mine = [x.split("| ")[1] for x in log if x.startswith(name + " ")]
        assert mine == [f"line {i}" for i in range(1, 301)] + ["end"]
        assert w.machines[name].lines("ran") == ["x"]


def test_a_machine_follows_its_relay_when_that_is_reached_otherwise(w, both):
    w.cli("relay", "set-route", "dc2-c", "dc2-b")
    wait_until(lambda: list(ways(w, "dials")) == WAYS, "what was given stays")
    wait_until(lambda: "relay dc2-a" not in
               (w.relays["dc2-c"].state / "peers").read_text(), "its peers")
    wait_until(lambda: w.row("relay", "dc2-c")["route"] == "dc2-x/dc2-b", "its way")
    ran = w.cli("run", "--all", "--", "echo here")
    assert ran.out.count("| here") == len(MACHINES)
    assert ": up" in ways(w, "dials")[WAYS[1]]
    # By that relay, however it is reached.
    w.cli("machine", "set-route", "dials", "dc2-c")
    wait_until(lambda: list(ways(w, "dials")) == WAYS[1:], "one way")
    w.cli("relay", "set-route", "dc2-c", "dc2-a", "dc2-b")
    wait_until(lambda: list(ways(w, "dials")) == WAYS, "both ways")
    refused = w.cli("relay", "set-route", "dc2-a", "direct", "dc2-c", code=None)
    assert refused.code != 0 and "reached through it" in refused.err
