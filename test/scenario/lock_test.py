"""Named locks on a machine: one at a time, shared, shown, broken."""
import json

import pytest

from harness import wait_until


@pytest.fixture(scope="module")
def w(shared):
    shared.server()
    shared.tentacle("web-01")
    return shared


def holding(gate):
    return (f'echo {gate} >>"$HOME/order"; while [ ! -e "$HOME/{gate}" ]; '
            'do sleep 0.02; done')


def locks(w):
    """Nothing while the machine is not there."""
    answer = w.cli("lock", "list", "web-01", "-o", "json", code=None)
    if answer.code != 0:
        return {}
    return {one["task"]: (one["mode"], one["state"])
            for one in json.loads(answer.out)}


def start(w, gate, *words):
    return w.start_run(holding(gate), "-m", "web-01", *words)


def began(w, gate):
    return gate in w.machines["web-01"].lines("order")


def end(w, *tasks, gates=()):
    for gate in gates:
        w.machines["web-01"].touch(gate)
    for task in tasks:
        w.cli("task", "wait", task)


def test_one_at_a_time_in_order_and_it_shows_who_waits_for_whom(w):
    one = start(w, "a", "--lock", "apt")
    wait_until(lambda: began(w, "a"), "the first")
    two = start(w, "b", "--lock", "apt")
    other = start(w, "c", "--lock", "other")
    wait_until(lambda: began(w, "c"), "that of another lock")
    wait_until(lambda: f"waits for the lock apt, which {one} holds"
               in w.cli("task", "show", two).out, "who waits for whom")
    assert locks(w) == {one: ("exclusive", "held"),
                        two: ("exclusive", "waits"),
                        other: ("exclusive", "held")}
    assert not began(w, "b")
    # It is held through a restart, before anything is begun.
    w.machines["web-01"].process.restart()
    wait_until(lambda: locks(w).get(two) == ("exclusive", "waits"), "it again")
    assert not began(w, "b")
    end(w, one, gates="a")
    wait_until(lambda: began(w, "b"), "its turn")
    end(w, two, other, gates="bc")
    assert "waits" not in w.cli("task", "show", two).out


def test_sharers_run_together_and_wait_for_who_was_first(w):
    one = start(w, "d", "--lock", "apt", "--lock-shared")
    two = start(w, "e", "--lock", "apt", "--lock-shared")
    wait_until(lambda: began(w, "d") and began(w, "e"), "both")
    alone = start(w, "f", "--lock", "apt")
    wait_until(lambda: locks(w).get(alone), "who wants it alone")
    late = start(w, "g", "--lock", "apt", "--lock-shared")
    wait_until(lambda: locks(w).get(late) == ("shared", "waits"), "the last")
    assert not began(w, "f") and not began(w, "g")
    end(w, one, two, gates="de")
    wait_until(lambda: began(w, "f"), "who wants it alone")
    assert not began(w, "g")
    end(w, alone, late, gates="fg")


def test_a_broken_lock_is_nobodys_and_its_holder_goes_on(w):
    one = start(w, "h", "--lock", "apt")
    wait_until(lambda: began(w, "h"), "the holder")
    two = start(w, "i", "--lock", "apt")
    wait_until(lambda: locks(w).get(two), "who waits")
    w.cli("lock", "break", "web-01", "nobodys", code=3)
    w.cli("lock", "break", "web-01", "apt")
    wait_until(lambda: began(w, "i"), "who waited")
    assert locks(w) == {two: ("exclusive", "held")}
    w.machines["web-01"].process.restart()
    wait_until(lambda: locks(w) == {two: ("exclusive", "held")}, "the same")
    end(w, one, two, gates="hi")
    assert any(row["action"] == "lock.break" for row in w.audit())


def test_a_machine_may_have_a_lock_for_all_that_name_none(w):
    w.tentacle("web-02", settings={"tentacle.lock": "all"})
    task = w.start_run('while [ ! -e "$HOME/go" ]; do sleep 0.02; done',
                       "-m", "web-02")
    wait_until(lambda: w.json("lock", "list", "web-02"), "the lock")
    one, = w.json("lock", "list", "web-02")
    assert (one["lock"], one["state"], one["task"]) == ("all", "held", task)
    w.machines["web-02"].touch("go")
    w.cli("task", "wait", task)
    # Of two machines one cannot be asked: the other answers all the same.
    w.machines["web-02"].process.stop()
    answer = w.cli("lock", "list", "web-02", "web-01", "-o", "json", code=10)
    assert json.loads(answer.out) == [] and "web-02" in answer.err, answer
    answer = w.cli("lock", "list", "web-02", code=9)
    assert "web-02" in answer.err and not answer.out, answer
    w.cli("lock", "break", "web-02", "all", code=9)
