"""Who is who among the processes of a world, and a kill that hits nobody
else."""
import os
import signal
from dataclasses import dataclass


@dataclass
class Guardian:
    """A supervisor or shim, as /proc shows it."""
    pid: int
    role: str
    machine: str
    ticket: str
    name: str      # script, before, after


def _read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _words(pid):
    return _read(f"/proc/{pid}/cmdline").decode(errors="replace").split("\0")


def _comm(pid):
    return _read(f"/proc/{pid}/comm").decode(errors="replace").strip()


def stat_of(pid):
    """(state, ppid, session); None: it is gone."""
    text = _read(f"/proc/{pid}/stat").decode(errors="replace")
    if not text:
        return None
    words = text.rsplit(")", 1)[1].split()
    return words[0], int(words[1]), int(words[3])


def who_is(pid, top):
    """The Guardian that pid is, in the world below the directory top; else
    None.  A shim's child that has not executed its script yet is none."""
    words, comm = _words(pid), _comm(pid)
    if len(words) < 4 or words[1] != "guard" or not comm.startswith("longarm-"):
        return None
    try:
        place = os.readlink(f"/proc/{pid}/fd/3")
    except OSError:
        return None
    stat = stat_of(pid)
    if not place.startswith(f"{top}/") or stat is None or stat[0] in "ZX":
        return None
    parent = _comm(stat[1]) if _words(stat[1])[1:3] == words[1:3] else ""
    if comm == "longarm-shim" and parent == "longarm-shim":
        return None
    role = "shim" if comm == "longarm-shim" or parent == "longarm-superv." \
        else "supervisor"
    machine = place[len(str(top)) + 1:].split("/")[0]
    return Guardian(pid, role, machine, words[2], words[3])


def guardians(top):
    found = (who_is(int(p), top) for p in os.listdir("/proc") if p.isdigit())
    return [g for g in found if g is not None]


def children(pid):
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = stat_of(int(name))
            if stat is not None and stat[1] == pid and stat[0] not in "ZX":
                found.append(int(name))
    return found


def of_session(session):
    """Live processes of it."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = stat_of(int(name))
            if stat is not None and stat[2] == session \
                    and stat[0] not in "ZX":
                found.append(int(name))
    return found


def kill_guardian(guardian, top):
    """SIGKILL, if it is still the one that it was; was it?"""
    try:
        fd = os.pidfd_open(guardian.pid)
    except OSError:
        return False
    try:
        now = who_is(guardian.pid, top)
        if now is None or (now.ticket, now.role) != (guardian.ticket,
                                                     guardian.role):
            return False
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
