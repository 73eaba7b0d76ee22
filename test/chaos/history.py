"""What was promised, what was done, and what was told: do they agree?

    findings = check(history)      # [] is the only good answer

Pure: a History is plain data, however it was collected (collect.py does so
after a run of chaos.py; history_test.py makes some up).  Four kinds of faults
are told apart:

    lost                 a task, result, output or ticket is gone, or is not
                         final
    twice                a script began more than once for one ticket, or one
                         step began on one machine by two tickets although
                         nobody asked for a second
    misreported          what the server tells is not what the script did
    unknown_unexplained  "nobody knows" although one guardian at least was
                         left alone
"""
import hashlib
import re
from collections import defaultdict
from dataclasses import dataclass, field

KINDS = ("lost", "twice", "misreported", "unknown_unexplained")
FINAL_TASK = ("succeeded", "failed", "cancelled")
FINAL_RUN = ("succeeded", "failed", "cancelled", "unknown", "skipped")
# Launches of guardians that are ended before their script began (run.h).
ATTEMPTS = 3
# Lines of ours in a log, and those of guardians.
NOTE = re.compile(rb"longarm: [^\n]*\n?|\n\[longarm: [^\n]*\]\n?")


@dataclass
class Script:
    """What a script is to do: its name in marker lines, all it prints, its
    exit code."""
    name: str
    output: bytes = b""
    code: int = 0


@dataclass
class Wish:
    """A task that somebody asked for."""
    key: str
    task: int | None              # the number that the server answered
    machines: list
    steps: dict                   # step -> [Script], in order
    cancelled: bool = False       # somebody asked for that, too
    # (machine, step) for which a person wanted a new ticket, steps that may be
    # run again without asking, and those that are after a failure.
    again: set = field(default_factory=set)
    rerun_safe: set = field(default_factory=set)
    retried: set = field(default_factory=set)


@dataclass
class Deed:
    """What a script wrote of itself, on the machine."""
    machine: str
    ticket: str
    script: str
    begun: int = 1                # marker lines
    codes: list = field(default_factory=list)  # of its last lines


@dataclass
class Hit:
    """A process that was killed."""
    role: str
    machine: str = ""
    ticket: str = ""
    name: str = ""                # script, before, after: of a guardian


@dataclass
class Result:
    """An end, as the journal has it."""
    state: str                    # exited, cancelled, refused, unknown
    exit_code: int = 0
    signal: int = 0
    cause: str = "none"
    log_sha256: str = ""


@dataclass
class Ticket:
    """What a machine's journal has of one."""
    accepted: int = 0             # records
    marks: list = field(default_factory=list)  # phases begun
    ended: Result | None = None
    tombstone: bool = False


@dataclass
class Run:
    """A row of the server, with its log."""
    machine: str
    step: str
    type: str
    state: str
    ticket: str = ""
    accepted: bool = False        # the machine said so, and that was kept
    exit_code: int = 0
    signal: int = 0
    reason: str = "none"
    text: str = ""
    log: bytes = b""              # the file
    log_size: int = 0             # the row
    log_sha256: str = ""          # the row
    log_base: int = 0             # where the output of its ticket begins
    before: set = field(default_factory=set)  # tickets that it had earlier


@dataclass
class Task:
    number: int
    state: str
    runs: list
    audited: int = 1              # rows of the audit that made it
    partial: bool = False         # some machines did well, some did not


@dataclass
class History:
    wishes: list
    tasks: dict                   # number -> Task
    deeds: list
    journals: dict                # machine -> {ticket: Ticket}
    hits: list = field(default_factory=list)


@dataclass
class Finding:
    kind: str
    task: int | None
    ticket: str
    text: str

    def __str__(self):
        task = "no task" if self.task is None else f"task-{self.task}"
        return f"{self.kind}: {task} {self.ticket or '-'}: {self.text}"


class Checker:
    """One pass over one history."""

    def __init__(self, history):
        self.history = history
        self.findings = []
        self.deeds = defaultdict(list)    # by ticket
        for deed in history.deeds:
            self.deeds[deed.ticket].append(deed)
        self.hits = defaultdict(list)     # by ticket
        for hit in history.hits:
            if hit.ticket:
                self.hits[hit.ticket].append(hit)
        self.owner = {}                   # ticket -> (task number, run)
        for task in history.tasks.values():
            for run in task.runs:
                for ticket in run.before | {run.ticket}:
                    if ticket:
                        self.owner[ticket] = (task.number, run)

    def find(self, kind, text, task=None, ticket=""):
        self.findings.append(Finding(kind, task, ticket, text))

    # --- Tasks -------------------------------------------------------------

    def check_wishes(self):
        wished = set()
        for wish in self.history.wishes:
            task = self.history.tasks.get(wish.task)
            if wish.task is None:
                self.find("lost", f"{wish.key} was never answered")
            elif wish.task in wished:
                self.find("misreported", f"{wish.key} was answered with the "
                          "task of another", wish.task)
            elif task is None:
                self.find("lost", f"accepted for {wish.key}, and there is no "
                          "such task", wish.task)
            else:
                self.check_task(wish, task)
            wished.add(wish.task)
        for number, task in self.history.tasks.items():
            if number not in wished:
                self.find("twice", "nobody asked for it, or it was made "
                          "again for a repeated request", number)

    def check_task(self, wish, task):
        if task.audited != 1:
            self.find("lost" if task.audited == 0 else "twice",
                      f"{task.audited} rows of the audit made it",
                      task.number)
        if task.state not in FINAL_TASK:
            self.find("lost", f"is {task.state} for ever", task.number)
            return
        if task.state == "cancelled" and not wish.cancelled:
            self.find("misreported", "cancelled, and nobody asked for that",
                      task.number)
        states = {(run.machine, run.step): run.state for run in task.runs}
        for run in task.runs:
            if run.state not in FINAL_RUN:
                self.find("lost", f"{run.step} on {run.machine} is "
                          f"{run.state} for ever", task.number, run.ticket)
            self.check_run(wish, task, run)
        bad = {m: s for m in wish.machines for s in wish.steps
               if states.get((m, s)) != "succeeded"}
        partial = 0 < len(bad) < len(wish.machines)
        which = ", ".join(f"{s} on {m}" for m, s in bad.items()) or "nothing"
        if task.state == "succeeded" and bad and not partial:
            self.find("misreported", f"succeeded, but not {which}",
                      task.number)
        if task.state == "failed" and not wish.cancelled and not bad:
            self.find("misreported", "failed, but every step succeeded",
                      task.number)
        if task.partial != partial:
            self.find("misreported", f"is {'' if task.partial else 'not '}"
                      f"told to be partial; what failed is {which}",
                      task.number)

    # --- One run -----------------------------------------------------------

    def check_run(self, wish, task, run):
        if run.type not in ("script", "activate"):
            return
        deeds = self.deeds_of(wish, task, run)
        judge = {"succeeded": self.check_succeeded,
                 "failed": self.check_failed,
                 "cancelled": self.check_cancelled,
                 "unknown": self.check_unknown,
                 "skipped": self.check_skipped}.get(run.state)
        if judge is None:
            return

        def find(kind, text):
            self.find(kind, f"{run.step} on {run.machine} {text}",
                      task.number, run.ticket)
        judge(wish, run, deeds, find)
        if run.state != "skipped":
            self.check_log(wish, run, deeds, find)
            self.check_journal(run, find)

    def deeds_of(self, wish, task, run):
        """{script: Deed} of its last ticket; what is twice is told here."""
        began, found = set(), {}
        for ticket in run.before | {run.ticket}:
            for deed in self.deeds[ticket]:
                if deed.begun > 0:
                    began.add(ticket)
                if deed.begun > 1:
                    self.find("twice", f"{deed.script} began {deed.begun} "
                              f"times on {deed.machine}", task.number, ticket)
                if deed.machine != run.machine:
                    self.find("misreported", f"{run.step} of {run.machine} "
                              f"ran on {deed.machine}", task.number, ticket)
                if ticket == run.ticket:
                    found[deed.script] = deed
        allowed = (run.step in wish.rerun_safe
                   or (run.machine, run.step) in wish.again
                   or run.step in wish.retried
                   and all(self.has_failed(run.machine, ticket)
                           for ticket in began - {run.ticket}))
        if len(began) > 1 and not allowed:
            self.find("twice", f"{run.step} on {run.machine} began by "
                      f"{len(began)} tickets", task.number, run.ticket)
        return found

    def has_failed(self, machine, ticket):
        """For certain: the machine's own word."""
        known = self.history.journals.get(machine, {}).get(ticket)
        return (known is not None and known.ended is not None
                and meaning(known.ended) == "failed")

    def scripts(self, wish, run):
        return wish.steps.get(run.step, [])

    def last_code(self, wish, run, deeds):
        """(how many of its scripts ended, exit code of the last of them)"""
        count, code = 0, None
        for script in self.scripts(wish, run):
            deed = deeds.get(script.name)
            if deed is None or not deed.codes:
                break
            count, code = count + 1, deed.codes[-1]
        return count, code

    def check_succeeded(self, wish, run, deeds, find):
        for script in self.scripts(wish, run):
            deed = deeds.get(script.name)
            if deed is None:
                find("misreported", f"succeeded, but {script.name} never ran")
            elif not deed.codes:
                find("misreported", f"succeeded, but {script.name} died")
            elif deed.codes[-1] != 0:
                find("misreported", "succeeded, but "
                     f"{script.name} ended with {deed.codes[-1]}")
        if run.exit_code != 0 or run.signal != 0:
            find("misreported", "succeeded with exit code "
                 f"{run.exit_code}, signal {run.signal}")

    def check_failed(self, wish, run, deeds, find):
        _, code = self.last_code(wish, run, deeds)
        hits = [h.role for h in self.hits[run.ticket]]
        if wish.cancelled and run.reason in ("cancelled", "timed-out"):
            return
        if "script" in hits and (run.signal == 9 or run.exit_code == 137):
            return
        if not deeds:
            if len(hits) >= ATTEMPTS and run.exit_code == 127:
                return
            find("misreported", f"failed, but never began: {run.reason}: "
                 f"{run.text}")
        elif run.signal != 0:
            find("misreported", f"ended by signal {run.signal}, which nobody "
                 "sent")
        elif code is None:
            find("misreported", f"ended with {run.exit_code}, but its script "
                 "died")
        elif code != run.exit_code:
            find("misreported", f"ended with {run.exit_code}, but its script "
                 f"with {code}")
        elif code == 0:
            find("misreported", f"failed ({run.reason}: {run.text}), but its "
                 "script succeeded")

    def check_cancelled(self, wish, run, deeds, find):
        del deeds
        if not wish.cancelled:
            find("misreported", "cancelled, and nobody asked for that")

    def check_skipped(self, wish, run, deeds, find):
        del wish, run
        if deeds:
            find("misreported", "skipped, but it ran")

    def check_unknown(self, wish, run, deeds, find):
        del wish
        # A later attempt may start nothing where one is in doubt.
        hit = defaultdict(set)
        for ticket in run.before | {run.ticket}:
            for h in self.hits[ticket]:
                hit[ticket, h.name].add(h.role)
        if any({"supervisor", "shim"} <= roles for roles in hit.values()):
            return
        did = ", ".join(f"{d.script} ended with {d.codes[-1]}" if d.codes
                        else f"{d.script} began" for d in deeds.values())
        find("unknown_unexplained", f"unknown ({run.reason}: {run.text}); it "
             f"was hit {[h.role for h in self.hits[run.ticket]]}, and "
             f"{did or 'never began'}")

    # --- Its log -----------------------------------------------------------

    def check_log(self, wish, run, deeds, find):
        if len(run.log) < run.log_size:
            find("lost", f"has {len(run.log)} bytes of log, its row says "
                 f"{run.log_size}")
            return
        log = run.log[run.log_base:run.log_size]
        if run.log_sha256 and \
                hashlib.sha256(log).hexdigest() != run.log_sha256:
            find("misreported", "has a log that is not the one of its SHA-256")
        said = NOTE.sub(b"", log)
        count, _ = self.last_code(wish, run, deeds)
        scripts = self.scripts(wish, run)
        whole = b"".join(s.output for s in scripts)
        sure = b"".join(s.output for s in scripts[:count])
        if not whole.startswith(said):
            find("misreported", f"has a log of {len(said)} bytes that its "
                 f"scripts did not write; it differs at {differs(said, whole)}")
        elif len(said) < len(sure) and run.state in ("succeeded", "failed"):
            find("lost", f"has {len(said)} bytes of log, its scripts wrote "
                 f"{len(sure)}")
        for part in attempts(NOTE.sub(b"", run.log[:run.log_base]), whole):
            if not whole.startswith(part):
                find("misreported", "has output of an earlier attempt that "
                     "its scripts did not write")

    # --- The machine's journal ---------------------------------------------

    def check_journal(self, run, find):
        journal = self.history.journals.get(run.machine, {})
        ticket = journal.get(run.ticket)
        if ticket is None or (ticket.accepted == 0 and not ticket.tombstone):
            if run.accepted:
                find("lost", "was accepted, and the machine knows nothing "
                     "of it")
            return
        if ticket.ended is None:
            if not ticket.tombstone and run.state in FINAL_RUN:
                find("lost", f"is {run.state}, and open for ever on the "
                     "machine")
            return
        told = MEANS[meaning(ticket.ended)]
        if run.state not in told:
            find("misreported", f"is {run.state}, the machine's journal says "
                 f"{ticket.ended}")
        elif run.accepted and run.state in ("succeeded", "failed") and (
                (run.exit_code, run.signal)
                != (ticket.ended.exit_code, ticket.ended.signal)):
            find("misreported", f"ended with {run.exit_code}, signal "
                 f"{run.signal}; the machine's journal says {ticket.ended}")
        if run.log_sha256 and ticket.ended.log_sha256 \
                and run.log_sha256 != ticket.ended.log_sha256:
            find("misreported", "has another log than the machine's journal")

    def check_tickets(self):
        """What is on machines, and nobody here knows of."""
        for machine, journal in self.history.journals.items():
            for name, ticket in journal.items():
                task, run = self.owner.get(name, (None, None))
                if ticket.accepted > 1:
                    self.find("twice", f"accepted {ticket.accepted} times by "
                              f"{machine}", task, name)
                again = {p for p in ticket.marks
                         if ticket.marks.count(p) > 1 and p != "switch"}
                for phase in sorted(again):
                    self.find("twice", f"{machine} marked its {phase} twice",
                              task, name)
                if run is None and ticket.accepted > 0:
                    self.find("lost", f"{machine} accepted a ticket that the "
                              "server does not know", task, name)
        for deed in self.history.deeds:
            if deed.ticket not in self.owner:
                self.find("lost", f"{deed.script} ran on {deed.machine} by a "
                          "ticket that the server does not know", None,
                          deed.ticket)


# What a server may tell of an end.
MEANS = {"succeeded": ("succeeded",), "failed": ("failed",),
         "cancelled": ("cancelled", "failed"), "unknown": ("unknown",)}


def meaning(result):
    if result.state == "exited":
        good = (result.exit_code, result.signal, result.cause) == (0, 0, "none")
        return "succeeded" if good else "failed"
    return "failed" if result.state == "refused" else result.state


def attempts(log, whole):
    """The output of each: all begin with the same line."""
    head = b" ".join(whole.split(b" ", 2)[:2]) + b" "
    if not whole or not log:
        return [log] if log else []
    first, *parts = log.split(head)
    return ([first] if first else []) + [head + part for part in parts]


def differs(a, b):
    """The first byte that is not the same."""
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y),
                min(len(a), len(b)))


def check(history):
    checker = Checker(history)
    checker.check_wishes()
    checker.check_tickets()
    return checker.findings


def count(findings):
    return {kind: sum(f.kind == kind for f in findings) for kind in KINDS}
