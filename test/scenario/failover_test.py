"""Two ways to a machine: one of them may go at any time."""
import os

import pytest

from faults import Proxy
from harness import wait_until, write

# Whatever the direction of the last hop.
MACHINES = ("dials", "told-later", "dialled")
RELAYS = ("dc2-a", "dc2-b")

PROCESS = """
project: shop
package: shop-web
steps:
  - name: install
    roles: [web]
    deploy: shop-web
    after: 'echo activated >>"$HOME/activated"'
"""


def explain(w, machine):
    return w.json("route", "explain", machine)["explain"]


def ways(w, machine):
    """Each route's own line, without what is said of its relays."""
    return [line for line in explain(w, machine) if ". " in line[:6]]


def all_up(w, machine):
    lines = ways(w, machine)
    return len(lines) == 2 and all(": up" in line for line in lines)


def wait_for_both(w):
    for name in MACHINES:
        wait_until(lambda name=name: all_up(w, name), f"both ways to {name}")


@pytest.fixture(scope="module")
def w(shared):
    shared.server()
    shared.proxy = Proxy(shared, shared.upstream(None))
    shared.relay("dc2-a", upstream=shared.proxy.address)
    shared.relay("dc2-b", settings={})
    both = ("-e", "prod", "-r", "web", "--route", "dc2-a", "--route", "dc2-b")
    # One is told where dc2-b is, the other learns it when it has joined.
    shared.tentacle("told-later", via="dc2-a", dialled=False)
    shared.cli("relay", "set-listen", "dc2-b",
               f"127.0.0.1:{shared.relays['dc2-b'].port}")
    shared.tentacle("dials", via="dc2-a", dialled=False, words=both)
    shared.tentacle("dialled", via="dc2-a", words=both)
    shared.project(PROCESS)
    return shared


@pytest.fixture
def both(w):
    wait_for_both(w)
    yield
    w.proxy.tell("pass")
    for relay in w.relays.values():
        if not relay.is_running():
            relay.start()
    for machine in w.machines.values():
        for name in ("ran", "go", "activated"):
            machine.path(name).unlink(missing_ok=True)


SCRIPT = ('echo x >>"$HOME/ran"; i=0; while [ $i -lt 300 ]; do i=$((i + 1)); '
          'echo line $i; sleep 0.005; done; '
          'while [ ! -e "$HOME/go" ]; do sleep 0.02; done; echo end')


def check_script(w, task):
    for name in MACHINES:
        w.machines[name].touch("go")
    w.cli("task", "wait", task)
    log = w.cli("task", "log", task).lines()
    for name in MACHINES:
        mine = [x.split("| ")[1] for x in log if x.startswith(name + " ")]
        assert mine == [f"line {i}" for i in range(1, 301)] + ["end"]
        assert w.machines[name].lines("ran") == ["x"]


def wait_for_line(w, task, line):
    """In the log of each machine."""
    wait_until(lambda: w.cli("task", "log", task).out.count(
        f"| line {line}\n") == len(MACHINES), f"line {line}")


def peers(w, name):
    return (w.machines[name].state / "peers").read_text()


def test_a_machine_hears_of_its_new_route_by_the_old_one(w):
    w.cli("machine", "set-route", "told-later", "dc2-b")
    wait_until(lambda: [": up" in line for line in ways(w, "told-later")]
               == [True], "the new way")
    assert "relay dc2-a" not in peers(w, "told-later")
    assert "here" in w.cli("run", "-m", "told-later", "--", "echo here").out
    # The machine has forgotten where dc2-a is, and the server never knew.
    w.cli("machine", "set-route", "told-later", "dc2-a", "dc2-b")
    wait_until(lambda: "relay dc2-a -" in peers(w, "told-later"), "its name")
    w.cli("relay", "set-listen", "dc2-a",
          f"127.0.0.1:{w.relays['dc2-a'].port}")
    wait_until(lambda: all_up(w, "told-later"), "both ways")


def test_a_machine_that_dials_keeps_a_link_to_each_relay(w, both):
    for name in MACHINES:
        lines = ways(w, name)
        assert [line.split()[1].rstrip(",") for line in lines] == [*RELAYS]
    for name in ("dials", "told-later"):
        for relay in RELAYS:
            port = w.relays[relay].port
            assert f"relay {relay} 127.0.0.1:{port}" in peers(w, name)


@pytest.mark.sanitizer
def test_a_relay_killed_in_mid_script_leaves_it_to_the_other(w, both):
    # Who came by dc2-b first would stay there.
    w.relays["dc2-b"].restart()
    wait_for_both(w)
    task = w.start_run(SCRIPT, "--environment", "prod")
    wait_for_line(w, task, 50)
    w.relays["dc2-a"].kill()
    wait_for_line(w, task, 300)
    assert not w.relays["dc2-a"].is_running()
    assert all(w.row("machine", name)["presence"] == "online"
               for name in MACHINES)
    check_script(w, task)


def test_a_relay_killed_in_mid_package_leaves_it_to_the_other(w, both):
    tree = w.office / "big"
    write(tree / "index.html", "shop\n")
    (tree / "big").write_bytes(os.urandom(2 << 20))
    w.cli("package", "push", tree, "--name", "shop-web", "--version", "1")
    w.release("1", "shop-web=1")
    before = w.proxy.stat()["down"]
    w.proxy.tell("rate down 2000000")
    task = w.deploy("1")
    wait_until(lambda: w.proxy.stat()["down"] - before > 1 << 20, "a part")
    w.relays["dc2-a"].kill()
    w.cli("task", "wait", task)
    for machine in w.machines.values():
        assert machine.lines("activated") == ["activated"]
        live = machine.apps / "shop" / "shop-web" / "current" / "big"
        assert live.read_bytes() == (tree / "big").read_bytes()
