"""Made-up histories: each fault in one of them is seen, and named."""
import hashlib
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.dont_write_bytecode = True

from history import (Deed, Hit, History, Result, Run, Script,  # noqa: E402
                     Task, Ticket, Wish, check, count)

T1, T2, T3 = "1" * 32, "2" * 32, "3" * 32
OUT = b"w1 0 abc\nw1 1 abc\n"


def sha(data):
    return hashlib.sha256(data).hexdigest()


def a_run(ticket, code=0, log=OUT, machine="web-01", step="run", **more):
    return Run(machine, step, "script", "succeeded" if code == 0 else "failed",
               ticket, True, code, reason="none" if code == 0
               else "script-failed", log=log, log_size=len(log),
               log_sha256=sha(log), **more)


def good():
    """Three tasks: one did well, one failed with 3, one was cancelled."""
    wishes = [Wish("w1", 1, ["web-01"], {"run": [Script("w1", OUT)]}),
              Wish("w2", 2, ["web-01"], {"run": [Script("w2", OUT, 3)]}),
              Wish("w3", 3, ["web-02"], {"run": [Script("w3", OUT)]},
                   cancelled=True)]
    runs = [a_run(T1), a_run(T2, 3), a_run(T3, log=OUT[:5], machine="web-02")]
    runs[2].state, runs[2].reason = "cancelled", "cancelled"
    tasks = {1: Task(1, "succeeded", runs[:1]), 2: Task(2, "failed", runs[1:2]),
             3: Task(3, "cancelled", runs[2:])}
    deeds = [Deed("web-01", T1, "w1", 1, [0]), Deed("web-01", T2, "w2", 1, [3]),
             Deed("web-02", T3, "w3", 1, [])]
    marks = ["script"]
    journals = {
        "web-01": {
            T1: Ticket(1, marks, Result("exited", 0, 0, "none", sha(OUT))),
            T2: Ticket(1, marks, Result("exited", 3, 0, "script-failed",
                                        sha(OUT)))},
        "web-02": {T3: Ticket(1, marks, Result("cancelled", 0, 15,
                                               "cancelled"))}}
    return History(wishes, tasks, deeds, journals)


def run_of(h, task):
    return h.tasks[task].runs[0]


def only(findings, kind, task=None, ticket=None):
    """All are of this kind, and there is one at least of this task."""
    assert findings, "nothing was found"
    assert {f.kind for f in findings} == {kind}, "\n".join(map(str, findings))
    assert task is None or any(f.task == task for f in findings), findings
    assert ticket is None or any(f.ticket == ticket for f in findings)
    return findings


def test_a_history_without_fault_is_found_good():
    assert check(good()) == []
    assert count([]) == {"lost": 0, "twice": 0, "misreported": 0,
                         "unknown_unexplained": 0}


# --- Lost -------------------------------------------------------------------

def lose_the_task(h):
    del h.tasks[1]
    h.deeds = h.deeds[1:]
    del h.journals["web-01"][T1]


def never_end(h):
    h.tasks[1].state = "running"
    run_of(h, 1).state = "running"


def lose_the_answer(h):
    h.wishes[0].task = None
    del h.tasks[1]
    h.deeds = h.deeds[1:]
    del h.journals["web-01"][T1]


def never_end_a_run(h):
    h.tasks[3].runs.append(Run("web-03", "run", "script", "running"))


def forget_the_ticket(h):
    del h.journals["web-01"][T1]


def leave_the_ticket_open(h):
    h.journals["web-01"][T1].ended = None


def lose_the_end_of_the_log(h):
    run = run_of(h, 1)
    run.log, run.log_size, run.log_sha256 = OUT[:9], 9, sha(OUT[:9])
    h.journals["web-01"][T1].ended.log_sha256 = ""


def lose_the_log_file(h):
    run_of(h, 1).log = b""


def run_for_nobody(h):
    h.deeds.append(Deed("web-02", "f" * 32, "w9", 1, [0]))


def accept_for_nobody(h):
    h.journals["web-02"]["f" * 32] = Ticket(1, [], Result("cancelled"))


def lose_the_audit(h):
    h.tasks[1].audited = 0


@pytest.mark.parametrize("harm", [
    lose_the_task, never_end, lose_the_answer, never_end_a_run,
    forget_the_ticket, leave_the_ticket_open, lose_the_end_of_the_log,
    lose_the_log_file, run_for_nobody, accept_for_nobody, lose_the_audit])
def test_what_is_lost_is_found(harm):
    h = good()
    harm(h)
    only(check(h), "lost")


def test_a_lost_task_is_named():
    h = good()
    lose_the_task(h)
    [finding] = check(h)
    assert str(finding).startswith("lost: task-1 "), finding


# --- Twice ------------------------------------------------------------------

def begin_twice(h):
    h.deeds[0].begun = 2


def make_it_twice(h):
    h.tasks[4] = Task(4, "failed", [])


def audit_twice(h):
    h.tasks[1].audited = 2


def accept_twice(h):
    h.journals["web-01"][T1].accepted = 2


def mark_twice(h):
    h.journals["web-01"][T1].marks = ["script", "script"]


def begin_by_two_tickets(h):
    run_of(h, 1).before = {"e" * 32}
    h.deeds.append(Deed("web-01", "e" * 32, "w1", 1, []))


@pytest.mark.parametrize("harm", [
    begin_twice, make_it_twice, audit_twice, accept_twice, mark_twice,
    begin_by_two_tickets])
def test_what_happened_twice_is_found(harm):
    h = good()
    harm(h)
    only(check(h), "twice")


def test_a_second_ticket_that_a_person_wanted_is_none():
    h = good()
    begin_by_two_tickets(h)
    h.wishes[0].again = {("web-01", "run")}
    assert check(h) == []
    h.wishes[0].again = set()
    h.wishes[0].rerun_safe = {"run"}
    assert check(h) == []


def retried():
    """The second attempt of w2, which failed as the first."""
    h = good()
    run = run_of(h, 2)
    earlier = "d" * 32
    h.wishes[1].steps["run"][0].output = OUT
    run.before, run.log_base = {earlier}, len(OUT)
    run.log, run.log_size = OUT + OUT, 2 * len(OUT)
    h.deeds.append(Deed("web-01", earlier, "w2", 1, [3]))
    h.journals["web-01"][earlier] = Ticket(1, ["script"], Result(
        "exited", 3, 0, "script-failed", sha(OUT)))
    return h


def test_a_step_that_is_retried_may_begin_again_once_it_has_failed():
    h = retried()
    only(check(h), "twice", 2)
    h.wishes[1].retried = {"run"}
    assert check(h) == []
    h.journals["web-01"]["d" * 32].ended = Result("unknown", cause="unknown")
    only(check(h), "twice", 2)


def test_the_output_of_an_earlier_attempt_counts():
    h = retried()
    h.wishes[1].retried = {"run"}
    run_of(h, 2).log = b"w1 0 xyz\nw1 1 abc\n" + OUT
    only(check(h), "misreported", 2)
    # It died in the middle of a line.
    run = run_of(h, 2)
    run.log, run.log_base = OUT[:12] + OUT, 12
    run.log_size = len(run.log)
    assert check(h) == []


def test_a_switch_may_be_done_again():
    h = good()
    h.journals["web-01"][T1].marks = ["before", "switch", "switch", "after"]
    assert check(h) == []


# --- Misreported ------------------------------------------------------------

def succeed_without_running(h):
    h.deeds = h.deeds[1:]


def succeed_of_what_died(h):
    h.deeds[0].codes = []


def succeed_of_what_failed(h):
    h.deeds[0].codes = [4]


def tell_another_code(h):
    run_of(h, 2).exit_code = 5
    h.journals["web-01"][T2].ended.exit_code = 5


def tell_other_than_the_journal(h):
    h.journals["web-01"][T2].ended.exit_code = 5


def tell_failure_of_success(h):
    h.deeds[1].codes = [0]
    run_of(h, 2).exit_code = 0
    h.journals["web-01"][T2].ended.exit_code = 0


def tell_a_signal(h):
    run_of(h, 2).signal = 9
    h.journals["web-01"][T2].ended.signal = 9


def fail_without_running(h):
    h.deeds = [d for d in h.deeds if d.script != "w2"]


def tell_code_of_what_died(h):
    h.deeds[1].codes = []


def cancel_by_nobody(h):
    h.wishes[2].cancelled = False


def skip_what_ran(h):
    run_of(h, 3).state = "skipped"


def run_elsewhere(h):
    h.deeds[0].machine = "web-02"


def tell_other_output(h):
    run = run_of(h, 1)
    run.log = b"x" + OUT[1:]
    run.log_sha256 = h.journals["web-01"][T1].ended.log_sha256 = sha(run.log)


def tell_output_twice(h):
    run = run_of(h, 1)
    run.log = OUT + OUT
    run.log_size = len(run.log)
    run.log_sha256 = h.journals["web-01"][T1].ended.log_sha256 = sha(run.log)


def change_the_log(h):
    run = run_of(h, 1)
    run.log = run.log[:-2] + b"d\n"


def hash_another_log(h):
    h.journals["web-01"][T1].ended.log_sha256 = sha(b"other")


def succeed_without_a_machine(h):
    h.wishes[0].machines.append("web-02")


def tell_nothing_of_a_part(h):
    h.wishes[0].machines.append("web-02")
    h.tasks[1].runs.append(Run("web-02", "run", "health", "failed"))


def tell_a_part_of_the_whole(h):
    h.tasks[1].partial = True


def fail_although_all_is_well(h):
    h.tasks[1].state = "failed"


def succeed_against_the_journal(h):
    h.journals["web-01"][T1].ended = Result("unknown", cause="unknown")


@pytest.mark.parametrize("harm", [
    succeed_without_running, succeed_of_what_died, succeed_of_what_failed,
    tell_another_code, tell_other_than_the_journal, tell_failure_of_success,
    tell_a_signal, fail_without_running, tell_code_of_what_died,
    cancel_by_nobody, skip_what_ran, run_elsewhere, tell_other_output,
    tell_output_twice, change_the_log, hash_another_log,
    succeed_without_a_machine, tell_nothing_of_a_part,
    tell_a_part_of_the_whole, fail_although_all_is_well,
    succeed_against_the_journal])
def test_what_is_misreported_is_found(harm):
    h = good()
    harm(h)
    only(check(h), "misreported")


def test_one_task_for_two_wishes_is_misreported():
    h = good()
    h.wishes.append(Wish("w4", 1, ["web-01"], {}))
    only(check(h), "misreported", 1)


def test_a_part_that_is_told_is_none():
    h = good()
    tell_nothing_of_a_part(h)
    h.tasks[1].partial = True
    assert check(h) == []


def test_a_script_that_was_killed_may_end_by_a_signal():
    h = good()
    tell_a_signal(h)
    h.deeds[1].codes = []
    h.hits = [Hit("script", "web-01", T2, "script")]
    assert check(h) == []


def test_guardians_ended_again_and_again_may_start_nothing():
    h = good()
    run_of(h, 2).exit_code = h.journals["web-01"][T2].ended.exit_code = 127
    h.deeds = [d for d in h.deeds if d.script != "w2"]
    run_of(h, 2).log, run_of(h, 2).log_size = b"", 0
    run_of(h, 2).log_sha256 = h.journals["web-01"][T2].ended.log_sha256 = ""
    only(check(h), "misreported", 2)
    h.hits = [Hit("shim", "web-01", T2, "script")] * 3
    assert check(h) == []


def test_our_own_lines_in_a_log_are_not_the_scripts():
    h = good()
    run = run_of(h, 2)
    run.log = OUT + b"longarm: after: exit code 3\n"
    run.log_size = len(run.log)
    run.log_sha256 = h.journals["web-01"][T2].ended.log_sha256 = sha(run.log)
    assert check(h) == []


# --- Unknown ----------------------------------------------------------------

def unknown(h, *hits):
    run = run_of(h, 1)
    run.state, run.reason = "unknown", "unknown"
    h.tasks[1].state = "failed"
    h.deeds[0].codes = []
    h.journals["web-01"][T1].ended = Result("unknown", cause="unknown",
                                            log_sha256=sha(OUT))
    h.hits = [Hit(role, "web-01", ticket, name) for role, ticket, name in hits]
    return h


def test_unknown_is_fine_when_both_guardians_were_hit():
    assert check(unknown(good(), ("supervisor", T1, "script"),
                         ("shim", T1, "script"))) == []


def test_an_earlier_attempt_may_be_what_is_unknown():
    h = unknown(good(), ("supervisor", "d" * 32, "script"),
                ("shim", "d" * 32, "script"))
    only(check(h), "unknown_unexplained", 1, T1)
    run_of(h, 1).before = {"d" * 32}
    assert check(h) == []


@pytest.mark.parametrize("hits", [
    [], [("shim", T1, "script")], [("supervisor", T1, "script")],
    [("tentacle", "", ""), ("shim", T1, "script")],
    # Of another ticket, and of another script of this one.
    [("supervisor", T2, "script"), ("shim", T1, "script")],
    [("supervisor", T1, "before"), ("shim", T1, "after")]])
def test_unknown_without_cause_is_found(hits):
    only(check(unknown(good(), *hits)), "unknown_unexplained", 1, T1)
