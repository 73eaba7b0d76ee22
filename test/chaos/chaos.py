#!/usr/bin/python3
"""chaos.py --seconds N --seed S [--mutant SAFEGUARD]: everything at once.

A server, two relays one behind the other, twenty tentacles, with links that
break, programs that are killed, and steady new tasks.  Then all faults stop,
everything must become final, and what was done is compared with what is told
(history.py).  Writes build/chaos/summary.json; exit code 0 only when nothing
was lost, done twice, misreported, or unknown without cause, 1 when something
was, 2 when a program broke, when there was too little of it to tell, or it
could not be told.  (make ends with 2 for either.)

A run of 120 s or more goes on, three times as long at most, until it holds what
is ENOUGH: on a busy machine that takes its time.
"""
import argparse
import json
import os
import pathlib
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True
TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "test" / "scenario"))
sys.path.insert(1, str(pathlib.Path(__file__).parent))

from collect import collect  # noqa: E402
from faults import TOOLS, Proxy  # noqa: E402
from harm import ROLES, Harm  # noqa: E402
from harness import SLOW, World  # noqa: E402
from history import KINDS, check, count  # noqa: E402
from load import PROJECTS, Load, Projects  # noqa: E402
from processes import guardians  # noqa: E402

QUIET = 60           # seconds until everything is final
MUTANTS = ("no-dedupe", "no-sync", "ack-early", "reap-early")
# What 120 seconds are to hold.
ENOUGH = {"tasks": 200, "kills_during_run": 20}
ENOUGH_OF_ROLE = 5
LONGER = 3           # times as long, until it holds that
SERVER = {"engine.lost": "50s", "link.handshake": "2s"}


def build(directory, rng, words):
    """(world, proxies); all online."""
    world = World(directory)
    world.use_failing()
    world.server(SERVER)
    proxies = {None: Proxy(world, world.upstream(None))}
    world.relay("relay-a", upstream=proxies[None].address)
    proxies["relay-a"] = Proxy(world, world.upstream("relay-a"))
    world.relay("relay-b", upstream=proxies["relay-a"].address)
    proxies["relay-b"] = Proxy(world, world.upstream("relay-b"))
    others = []
    for i in range(words.tentacles):
        name, via = f"m{i:02}", (None, "relay-a", "relay-b", "relay-b")[i % 4]
        # Every fifth is dialled; the others share a few lines.
        if i % 5 == 0:
            machine = world.tentacle(name, via, True, wait=False, words=role(i))
        else:
            proxy = proxies[via]
            if rng.random() < 0.3:
                proxy = Proxy(world, world.upstream(via))
                others.append(proxy)
            machine = world.tentacle(name, proxy.address, False, wait=False,
                                     words=role(i))
        machine.roles = role(i)[-1:]
    for name in world.machines:
        world.wait_presence("machine", name)
        if words.mutant:
            world.fail(name).mutant(words.mutant)
    return world, [*proxies.values(), *others]


def role(i):
    return ("-e", "prod", "-r", f"shop{i % PROJECTS}")


def become_final(world, load, harm):
    """Until no task is open and no script runs, or the time is up."""
    end = time.monotonic() + QUIET * SLOW
    while time.monotonic() < end:
        harm.revive()
        if load.open_tasks() == [] and not guardians(world.directory):
            return True
        time.sleep(0.2)
    return False


def stop_all(world, harm):
    for process in harm.processes():
        process.end()


def explain(world, findings):
    """Each, and what the logs say of its ticket."""
    for finding in findings[:20]:
        print(finding)
        for log in sorted(world.directory.glob("*.log")):
            lines = [line for line in
                     log.read_text(errors="replace").splitlines()
                     if finding.ticket and finding.ticket in line]
            for line in lines[:8]:
                print(f"    {log.stem}: {line[:300]}")
    if len(findings) > 20:
        print(f"... and {len(findings) - 20} more")


def run(world, proxies, words):
    rng = random.Random(words.seed)
    projects = Projects(world, random.Random(rng.random()), TOOLS / "deed")
    harm = Harm(world, random.Random(rng.random()), proxies)
    load = Load(world, random.Random(rng.random()), projects, TOOLS / "deed")
    load.start()
    began = time.monotonic()
    while is_going(words, load, harm, time.monotonic() - began):
        assert load.thread.is_alive(), "the load has ended"
        harm.tick()
        time.sleep(0.02)
    harm.end()
    load.stop()
    began = time.monotonic()
    final = become_final(world, load, harm)
    print(f"chaos: {'all final' if final else 'NOT all final'} "
          f"{time.monotonic() - began:.1f} s after the last fault", flush=True)
    stop_all(world, harm)
    return load, harm


def broken(world, harm):
    """Programs that ended by a fault of their own."""
    signals = {-s for s in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS,
                            signal.SIGILL, signal.SIGFPE)}
    for name, code in harm.ended:
        print(f"chaos: {name} ended by itself with {code}")
    found = [name for name, code in harm.ended if code in signals]
    # A process of a program's own is told of in its log.
    numbers = "|".join(str(-s) for s in signals)
    told = re.compile(rf"was ended by signal ({numbers})(?!\d)")
    found += [log.stem for log in world.directory.glob("*.log")
              if told.search(log.read_text(errors="replace"))]
    return world.crashes() + found


def numbers(words, load, harm):
    return {"seed": words.seed, "tasks": len(load.wishes),
            "kills": harm.kills, "kills_by_role": harm.kills_by_role,
            "kills_during_run": harm.kills_during_run}


def missing(words, load, harm):
    """What there is too little of, in a run of full length."""
    share = words.seconds / 120
    if share < 1:
        return []
    summary = numbers(words, load, harm)
    few = [k for k, v in ENOUGH.items() if summary[k] < v * share]
    return few + [r for r in ROLES
                  if harm.kills_by_role[r] < ENOUGH_OF_ROLE * share]


def is_going(words, load, harm, seconds):
    if seconds < words.seconds:
        return True
    return (seconds < LONGER * words.seconds
            and bool(missing(words, load, harm)))


def summarize(words, load, harm, findings):
    summary = numbers(words, load, harm) | count(findings)
    path = TOP / "build" / "chaos" / "summary.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(summary, indent=2) + "\n")
    print(json.dumps(summary))
    return summary


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--mutant", choices=MUTANTS)
    parser.add_argument("--tentacles", type=int, default=20)
    parser.add_argument("--keep", action="store_true")
    words = parser.parse_args()
    if words.seed is None:
        words.seed = int.from_bytes(os.urandom(3), "big")
    print(f"chaos: SECONDS={words.seconds:g} SEED={words.seed} "
          f"MUTANT={words.mutant or ''}", flush=True)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="chaos-"))
    world, findings, done = None, [], False
    try:
        began = time.monotonic()
        world, proxies = build(directory, random.Random(words.seed), words)
        print(f"chaos: {len(world.machines)} tentacles online in "
              f"{time.monotonic() - began:.1f} s", flush=True)
        load, harm = run(world, proxies, words)
        findings = check(collect(world, load.wishes, harm.hits))
        explain(world, findings)
        summary = summarize(words, load, harm, findings)
        crashes = broken(world, harm)
        assert not crashes, "\n".join(crashes)
        few = missing(words, load, harm)
        assert any(summary[kind] for kind in KINDS) or not few, \
            f"there was too little of: {' '.join(few)}"
        done = True
    finally:
        if world is not None:
            world.close()
        if not done or (findings and not words.mutant) or words.keep:
            print(f"chaos: see {directory}; again: make chaos "
                  f"SECONDS={words.seconds:g} SEED={words.seed}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return 1 if any(summary[kind] for kind in KINDS) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception:  # 1 is for what was found
        traceback.print_exc()
        sys.exit(2)
