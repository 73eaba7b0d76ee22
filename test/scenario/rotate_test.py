"""Authorities are followed by new ones while everything runs."""
from harness import wait_until

# A member's certificate lives long: what is renewed here is so by rotation.
SETTINGS = {"fleet.settle": "0s"}


def rotation(w):
    return w.json("ca", "status")


def phase(w):
    return rotation(w)["phase"]


def missing(w):
    return [m["name"] for m in rotation(w)["missing"]]


def key_of(w, name):
    return {a["name"]: a["key_sha256"] for a in w.json("ca", "show")}[name]


def all_answer(w):
    w.cli("run", "--all", "--", "true")


def test_root_and_authorities_are_followed_and_no_task_fails(world):
    w = world
    w.server(SETTINGS)
    relay = w.relay()
    far = w.tentacle("far", via="dc2-a")
    off = w.tentacle("off", via="dc2-a")
    near = w.tentacle("near", dialled=False)
    before = {n: key_of(w, n) for n in ("root", "agents", "nodes", "node")}
    off.process.kill()
    w.wait_presence("machine", "off", "offline")
    task = w.start_run("""
        for i in $(seq 400); do [ -e ~/stop ] && exit 0; sleep 0.2; done
        exit 1""", "-m", "far", "-m", "near")
    w.cli("ca", "rotate", "root")
    # The one that is off is waited for, by name; the server may restart.
    wait_until(lambda: missing(w) == ["off"], "all but one", 8)
    assert phase(w) == "spreading"
    w.server_process.restart()
    w.wait_for_server()
    assert w.cli("ca", "rotate", "agents", code=None).code == 1
    assert missing(w) == ["off"] and phase(w) == "spreading"
    off.process.start()
    w.cli("ca", "rotate", "root", "--wait")
    after = {n: key_of(w, n) for n in before}
    assert all(before[n] != after[n] for n in before)
    for machine in (far, near):
        machine.touch("stop")
    w.wait_task(task, "succeeded")
    # The old login still works, and so does the new one.
    w.cli("status")
    w.cli("login", "--file", str(w.state / "operator.login"))
    all_answer(w)
    # What is new is what they show and trust from now on.
    for process in (w.server_process, relay, far.process, near.process,
                    off.process):
        process.restart()
    w.wait_for_server()
    for name in ("far", "near", "off"):
        w.wait_presence("machine", name)
    all_answer(w)
    w.tentacle("later", via="dc2-a")
    # And again, a smaller one, with the root's key in another place.
    away = w.office / "root.key"
    (w.state / "ca" / "root.key").rename(away)
    refused = w.cli("ca", "rotate", "agents", code=None)
    assert refused.code != 0 and "--root-key" in refused.err, refused
    w.cli("ca", "rotate", "agents", "--root-key", away, "--wait")
    assert not remembers(w.server_process, away.read_text("ascii"))
    assert key_of(w, "agents") != after["agents"]
    assert key_of(w, "root") == after["root"]
    all_answer(w)


def remembers(process, pem):
    """Parts of the key that are anywhere in what the process may write."""
    first, second = pem.encode().splitlines()[1:3]
    # The rest is the same in all such keys, or public.
    lines = (first[44:], second[:28])
    found = []
    base = f"/proc/{process.child.pid}"
    with open(f"{base}/maps", encoding="ascii") as maps, \
            open(f"{base}/mem", "rb", 0) as mem:
        for span, access, *_ in (line.split() for line in maps):
            start, end = (int(x, 16) for x in span.split("-"))
            # What a sanitizer sets aside is terabytes of nothing.
            if not access.startswith("rw") or end - start > 1 << 30:
                continue
            mem.seek(start)
            try:
                data = mem.read(end - start)
            except OSError:
                continue  # a guard page
            found += [x for x in lines if x in data]
    return found


def test_who_was_left_out_comes_back_by_its_key(world):
    w = world
    w.server(SETTINGS)
    relay = w.relay()
    far = w.tentacle("far", via="dc2-a")
    w.tentacle("near", dialled=False)
    relay.kill()
    far.process.kill()
    w.wait_presence("machine", "far", "unknown")
    w.cli("ca", "rotate", "agents")
    wait_until(lambda: missing(w) == ["dc2-a", "far"], "all but two")
    assert phase(w) == "issuing"
    # The thief of the old key is locked out now, and these two with him.
    w.cli("ca", "rotate", "agents", "--force")
    assert rotation(w)["left_out"] == ["relay dc2-a", "machine far"]
    assert phase(w) == "done"
    w.cli("run", "-m", "near", "--", "true")
    relay.start()
    far.process.start()
    # A relay that has not heard of it yet may let the machine in for a moment.
    for process in (relay, far.process):
        wait_until(lambda p=process: "asking for another" in p.text(), "its key")
    w.wait_presence("machine", "far")
    all_answer(w)


def test_links_are_opened_anew_before_the_old_ones_end(world):
    w = world
    soon = {"link.refresh": "100ms"}
    w.server(soon | {"fleet.settle": "1h"})
    relay = w.relay(settings=soon)
    far = w.tentacle("far", via="dc2-a", settings=soon)
    near = w.tentacle("near", dialled=False, settings=soon)
    task = w.start_run("""
        for i in $(seq 400); do [ -e ~/stop ] && exit 0; sleep 0.2; done
        exit 1""", "--all")
    for name in ("far", "near"):
        wait_until(lambda n=name: w.run_state(task, n) == "running", "runs")
    everybody = [relay, far.process, near.process]

    def links():
        return [p.text().count("connected") for p in everybody]

    before = links()
    w.cli("ca", "rotate", "root")
    wait_until(lambda: phase(w) == "issuing" and not missing(w), "all moved")
    wait_until(lambda: all(n > o for n, o in zip(links(), before)),
               "newer links")
    all_answer(w)
    # Seals end only because they go on by the newer links.
    assert not [line for p in everybody for line in p.text().splitlines()
                if "seal closed" in line and "goes on by" not in line]
    for machine in (far, near):
        machine.touch("stop")
    w.wait_task(task, "succeeded")


def test_a_servers_key_is_revoked_and_told_without_its_authority(world):
    w = world
    # Certificates of nodes that live so short are renewed as soon as they are
    # looked at, and warned of.
    w.server({"fleet.node-certificate": "4s"})
    relay = w.relay()
    key, stolen = key_of(w, "node"), "ab" * 32
    refused = w.cli("node", "revoke", "n1", "--key", key, code=None)
    assert refused.code == 1 and "ca rotate nodes" in refused.err, refused
    nodes_key, away = w.state / "ca" / "nodes.key", w.office / "nodes.key"
    nodes_key.rename(away)
    refused = w.cli("node", "revoke", "n2", "--key", stolen, code=None)
    assert refused.code != 0 and "put it back" in refused.err, refused
    away.rename(nodes_key)
    w.cli("node", "revoke", "n2", "--key", stolen, "--reason", "stolen")

    def knows(member):
        path = member.state / "revoked-nodes"
        return path.exists() and bytes.fromhex(stolen) in path.read_bytes()

    wait_until(lambda: knows(relay), "the list of revoked nodes")
    wait_until(lambda: "certificate is renewed" in w.server_process.text(),
               "a renewal")
    assert key_of(w, "node") == key
    assert "attention: the certificate of this node" in w.cli("status").err
    status, text = w.api("GET", "/readyz?verbose=1")
    assert status == 200 and "[!] the certificate of this node ends" in text
    assert w.api("GET", "/readyz")[1] == "ok\n"
    assert [(n["name"], n["key_sha256"], n["this"], n["revoked"])
            for n in w.json("node", "list")] == [("n1", key, True, False)]
    nodes_key.rename(away)
    w.server_process.restart()
    w.wait_for_server()
    assert knows(w.relay("dc2-b")) or wait_until(
        lambda: knows(w.relays["dc2-b"]), "the list that was kept")
    wait_until(lambda: "cannot be renewed" in w.server_process.text(),
               "a warning")


def test_a_key_that_a_server_had_is_revoked_by_the_servers_name(world):
    w = world
    w.server({"fleet.settle": "100ms"})
    relay = w.relay()
    old = key_of(w, "node")
    refused = w.cli("node", "revoke", "n1", code=None)
    assert refused.code == 3 and "no key of it is known" in refused.err
    w.cli("ca", "rotate", "nodes", "--wait")
    keys = wait_until(lambda: len(w.json("node", "list")) == 2
                      and w.json("node", "list"), "both keys")
    assert [(k["key_sha256"] == old, k["this"]) for k in keys] \
        == [(True, False), (False, True)]
    w.cli("node", "revoke", "n1", "--reason", "its disk was stolen")
    assert [k["revoked"] for k in w.json("node", "list")] == [True, False]
    wait_until(lambda: (relay.state / "revoked-nodes").exists()
               and bytes.fromhex(old)
               in (relay.state / "revoked-nodes").read_bytes(), "word of it")
    assert w.cli("node", "revoke", "n1", code=None).code == 3
