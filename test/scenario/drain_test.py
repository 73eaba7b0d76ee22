"""What is stopped on purpose: everything moves away first, nothing fails."""
import signal

import pytest

from harness import wait_until

BOTH = ("web-01", "web-02", "web-03")
MACHINES = BOTH + ("lonely",)

PROCESS = """
project: shop
package: shop-web
steps:
  - name: install
    roles: [web]
    deploy: shop-web
    after: |
      echo activated >>"$HOME/activated"
      while [ ! -e "$HOME/go" ]; do sleep 0.02; done
"""

SCRIPT = ('echo x >>"$HOME/ran"; i=0; while [ ! -e "$HOME/go" ]; do '
          'i=$((i+1)); echo line $i; sleep 0.1; done; echo end $i')


@pytest.fixture(scope="module")
def w(shared):
    shared.server({"fleet.flap-window": "1m", "fleet.flap-stable": "5s"})
    # One whose streams have no other way must not wait long.
    shared.relay("dc2-a", settings={"relay.drain": "1s"})
    shared.relay("dc2-b")
    for name in shared.relays:
        shared.cli("relay", "set-listen", name,
                   f"127.0.0.1:{shared.relays[name].port}")
    for i, name in enumerate(BOTH):
        shared.tentacle(name, via="dc2-a", dialled=i == 0, words=(
            "-e", "prod", "-r", "web", "--route", "dc2-a", "--route",
            "dc2-b"))
    shared.tentacle("lonely", via="dc2-a", dialled=False)
    shared.project(PROCESS)
    shared.package("shop-web", "1", {"index.html": "shop\n"})
    shared.release("1", "shop-web=1")
    return shared


def explain(w, name):
    return "\n".join(w.json("route", "explain", name)["explain"])


@pytest.fixture(autouse=True)
def clean(w):
    for name in BOTH:
        wait_until(lambda name=name: explain(w, name).count(": up") == 2,
                   f"both ways to {name}")
    w.wait_presence("machine", "lonely")
    w.presences = set()
    yield
    for relay in w.relays.values():
        if not relay.is_running():
            relay.start()
    w.cli("relay", "resume", "dc2-a")
    for machine in w.machines.values():
        for name in ("ran", "go", "activated"):
            machine.path(name).unlink(missing_ok=True)


def begin(w):
    """A script and a deployment on all of them, both under way."""
    ran = w.start_run(SCRIPT, "--environment", "prod")
    deployed = w.deploy("1")
    for name in MACHINES:
        wait_until(lambda name=name: w.machines[name].lines("activated"),
                   f"the package at {name}")
    longer(w, ran, MACHINES)
    return ran, deployed


def finish(w, ran, deployed):
    for machine in w.machines.values():
        machine.touch("go")
    for task in (ran, deployed):
        w.cli("task", "wait", task)
    log = w.cli("task", "log", ran).lines()
    for name in MACHINES:
        mine = [x.split("| ")[1] for x in log if x.startswith(name + " ")]
        count = len(mine) - 1
        assert mine == ([f"line {i + 1}" for i in range(count)]
                        + [f"end {count}"])
        assert w.machines[name].lines("ran") == ["x"]
        assert w.machines[name].lines("activated") == ["activated"]


def longer(w, task, names):
    """Its log grows at all of these."""
    def lines():
        log = w.cli("task", "log", task).out
        return [log.count(f"{name} run | ") for name in names]
    before = lines()
    wait_until(lambda: all(b + 2 <= now for b, now in zip(before, lines())),
               f"more of {names}")


def streams(w, relay):
    return w.json("relay", "show", relay)["streams"]


@pytest.mark.sanitizer
def test_a_relay_that_is_stopped_is_left_first_and_fails_nothing(w):
    ran, deployed = begin(w)
    relay = w.relays["dc2-a"]
    assert relay.stop() == 0
    assert "draining" in relay.text()
    longer(w, ran, BOTH)
    for name in BOTH:
        assert w.row("machine", name)["presence"] == "online"
    row = w.row("machine", "lonely")
    assert row["presence"] == "unknown", row
    # It meant to go: that is another thing than being lost.
    assert "shutting down" in row["presence_text"], row
    why = w.json("route", "explain", "lonely")
    assert why["reason"] == "draining", why
    # Nobody was ever out of reach: what had another way took it.
    log = w.server_process.text()
    for name in BOTH:
        machine = w.row("machine", name)["id"]
        assert f"server {machine}: not reachable" not in log.split(
            "dc2-a: is stopping")[1], log
    relay.start()
    finish(w, ran, deployed)


def test_a_relay_that_an_operator_drains_is_left_and_comes_back(w):
    ran, deployed = begin(w)
    assert streams(w, "dc2-a") >= len(MACHINES)
    assert w.json("relay", "drain", "dc2-a")["draining"]
    # What has no other way stays, and works.
    wait_until(lambda: 0 < streams(w, "dc2-a") <= 3, "the streams to leave")
    longer(w, ran, MACHINES)
    for name in BOTH:
        text = explain(w, name)
        assert "not preferred (dc2-a: is drained by an operator" in text, text
    w.cli("run", "-m", "lonely", "--", "true")
    w.cli("relay", "resume", "dc2-a")
    assert "not preferred" not in explain(w, "web-01")
    finish(w, ran, deployed)


def test_a_relay_behind_another_is_left_first_too(w):
    """By an operator, and by a signal, while a script runs through it."""
    behind = w.relay("dc2-c", via="dc2-a")
    w.cli("relay", "set-listen", "dc2-c", f"127.0.0.1:{behind.port}")
    machine = w.tentacle("deep", via="dc2-c", dialled=False, words=(
        "-e", "prod", "--route", "dc2-a/dc2-c", "--route", "dc2-b"))
    wait_until(lambda: explain(w, "deep").count(": up") == 2, "both ways")
    task = w.start_run(SCRIPT, "-m", "deep")
    longer(w, task, ["deep"])
    assert streams(w, "dc2-c") > 0
    w.cli("relay", "drain", "dc2-c")
    wait_until(lambda: streams(w, "dc2-c") == 0, "the streams to leave")
    longer(w, task, ["deep"])
    w.cli("relay", "resume", "dc2-c")
    w.cli("relay", "drain", "dc2-b")
    wait_until(lambda: streams(w, "dc2-c") > 0, "the streams to come back")
    w.cli("relay", "resume", "dc2-b")
    longer(w, task, ["deep"])
    assert behind.stop() == 0
    longer(w, task, ["deep"])
    assert w.row("machine", "deep")["presence"] == "online"
    ident = w.row("machine", "deep")["id"]
    log = w.server_process.text().split("dc2-c: is stopping")[1]
    assert f"server {ident}: not reachable" not in log, log
    behind.start()
    machine.touch("go")
    w.cli("task", "wait", task)
    assert machine.lines("ran") == ["x"]
    mine = [x.split("| ")[1] for x in w.cli("task", "log", task).lines()
            if x.startswith("deep ")]
    count = len(mine) - 1
    assert mine == [f"line {i + 1}" for i in range(count)] + [f"end {count}"]
    w.cli("machine", "remove", "deep")
    machine.process.stop()
    w.machines.pop("deep")


def test_a_server_that_is_stopped_is_not_ready_first_and_tasks_go_on(w):
    ran, deployed = begin(w)
    w.server_process.stop()
    w.server_process.argv += ["--set", "http.drain=1m"]
    w.server_process.start()
    w.wait_for_server()
    for name in MACHINES:
        w.wait_presence("machine", name)
    assert w.api("GET", "/readyz")[0] == 200
    w.server_process.child.send_signal(signal.SIGTERM)
    wait_until(lambda: w.api("GET", "/readyz")[0] == 503, "503")
    # It works meanwhile, and once more says: at once.
    assert w.cli("task", "show", ran)
    assert w.server_process.stop() == 0
    del w.server_process.argv[-2:]
    w.server_process.start()
    w.wait_for_server()
    finish(w, ran, deployed)


def test_a_relay_that_comes_and_goes_is_not_preferred_for_a_while(w):
    for _ in range(3):
        w.wait_presence("relay", "dc2-a")
        w.relays["dc2-a"].restart()
    text = wait_until(
        lambda: (lambda t: "comes and goes" in t and t)(explain(w, "web-01")),
        "the flapping")
    assert "not preferred (dc2-a: comes and goes (3 times within 60 s); " \
        "not preferred until " in text, text
    w.wait_presence("relay", "dc2-a")
    w.cli("health", "run", "web-02")
    assert "dc2-b, it dials: up, in use" in explain(w, "web-02")
    wait_until(lambda: "comes and goes" not in explain(w, "web-01"),
               "to be steady")
