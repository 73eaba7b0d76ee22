"""People decide how a task goes on; steps that may, run again by themselves."""
import json
import shlex

import pytest

from harness import wait_until

SHOP = """
project: shop
guided: true
steps:
  - name: sign-off
    approve: Are the backups done?
  - name: roll out
    rolling: 1
    steps:
      - name: install it
        run: |
          echo try $Release
          echo try >>"$HOME/tries"
          [ ! -e "$HOME/sick" ]
"""

# The first run takes both of its guardians with it.
ALONE = """
          echo ran >>"$HOME/{name}"
          [ "$(wc -l <"$HOME/{name}")" -eq 1 ] || exit 0
          supervisor=$(cut -d' ' -f4 /proc/$PPID/stat)
          kill -9 $supervisor $PPID
"""
JOBS = """
project: jobs
steps:
  - name: job
    roles: [web]
    run: |""" + ALONE.format(name="job")
SAFE = """
project: safe
steps:
  - name: safe
    rerun-safe: true
    run: |""" + ALONE.format(name="safe")


@pytest.fixture(scope="module")
def w(shared):
    shared.server()
    for name in ("web-01", "web-02"):
        shared.tentacle(name)
    for name, process in (("shop", SHOP), ("jobs", JOBS), ("safe", SAFE)):
        shared.project(process, name=name)
        shared.release("1.0", name=name)
    return shared


def wait_for_people(w, task):
    wait_until(lambda: w.task(task)["waiting"] == 1, f"{task} to wait")
    return w.task(task)["interruptions"][0]


def commands(text):
    """What it tells to type."""
    return [shlex.split(line, comments=True) for line in text.splitlines()
            if line.strip().startswith("longarm task")]


def command(w, task, verb):
    found = [c for c in commands(w.cli("task", "show", task).out)
             if c[2] == verb]
    assert found, verb
    return found[0][1:]


def approve(w, task):
    asked = wait_for_people(w, task)
    assert asked["kind"] == "approval" and "backups" in asked["text"], asked
    w.cli("task", "approve", task, "--note", "they are")


def test_only_who_may_lets_a_task_go_on_that_asks(w):
    task = w.deploy("1.0")
    wait_for_people(w, task)
    assert "waiting" in w.cli("task", "list").out
    key = w.json("apikey", "create", "ci", "--permissions",
                 "deployer")["key"]
    status, body = w.api("POST", f"/api/v1/tasks/{task}/approve", key, "{}")
    assert status == 403, body
    w.server_process.restart()
    w.wait_for_server()
    w.cli(*command(w, task, "approve")[:-1], "not today", "--reject")
    result = w.cli("task", "wait", task, code=5)
    assert "not today" in result.err, result
    assert [a["object"] for a in w.audit() if a["action"] == "task.approve"] \
        == [f"{task} reject: not today"]
    assert w.runs(task)[("web-01", "install it")]["state"] == "skipped"
    w.cli("task", "approve", task, code=1)


def test_a_failure_waits_and_goes_on_as_it_is_told(w):
    first, second = w.machines["web-01"], w.machines["web-02"]
    first.touch("sick")
    second.touch("sick")
    task = w.deploy("1.0")
    approve(w, task)
    asked = wait_for_people(w, task)
    child = w.open_cli("task", "wait", task)
    while "exclude" not in child.stderr.readline():
        pass  # the last of what it tells at once
    assert (asked["machine"], asked["kind"]) == ("web-01", "failure"), asked
    first.path("sick").unlink()
    w.cli(*command(w, task, "retry"), "--note", "it is well again")
    wait_until(lambda: second.lines("tries"), "the second machine's turn")
    asked = wait_for_people(w, task)
    assert asked["machine"] == "web-02", asked
    w.cli(*command(w, task, "exclude"))
    result = w.finish(child)
    assert result.code == 10, result
    runs = w.runs(task)
    assert runs[("web-01", "install it")]["attempt"] == 2
    assert first.lines("tries") == ["try"] * 2
    assert runs[("web-02", "install it")]["decision"] == "excluded"
    log = w.cli("task", "log", task).out
    assert log.count("web-01 install it | try 1.0") == 2, log
    assert "it is well again" in w.cli("task", "show", task).out
    second.path("sick").unlink()


def test_a_step_that_may_runs_again_when_nobody_knows(w):
    task = w.deploy("1.0", "--machine", "web-01", name="safe")
    w.cli("task", "wait", task)
    assert w.machines["web-01"].lines("safe") == ["ran"] * 2
    assert w.runs(task)[("web-01", "safe")]["attempt"] == 2


def test_a_person_says_how_it_ended_when_nobody_else_knows(w):
    task = w.deploy("1.0", "--machine", "web-01", name="jobs")
    result = w.cli("task", "wait", task, code=5)
    told = [c for c in commands(result.err) if c[2] == "resolve"]
    assert len(told) == 2, result
    assert w.machines["web-01"].lines("job") == ["ran"]
    w.cli(*told[0][1:-1], "I saw it")
    assert w.task(task)["state"] == "succeeded"
    w.cli("task", "wait", task)
    w.cli(*told[0][1:], code=1)
    assert json.dumps(w.audit()).count("I saw it") == 1


def test_a_failure_is_ignored_or_ends_the_task_as_it_is_told(w):
    first, second = w.machines["web-01"], w.machines["web-02"]
    first.touch("sick")
    for verb, code, state in (("ignore", 0, "succeeded"),
                              ("fail", 5, "failed")):
        second.path("tries").unlink(missing_ok=True)
        task = w.deploy("1.0")
        approve(w, task)
        asked = wait_for_people(w, task)
        assert asked["machine"] == "web-01", asked
        w.cli(*command(w, task, verb), "--note", f"{verb} it")
        w.cli("task", "wait", task, code=code)
        assert w.task(task)["state"] == state, verb
        # Who is ignored does not hold up the others, who fails does.
        assert len(second.lines("tries")) == (verb == "ignore"), verb
        assert f"{verb} it" in w.cli("task", "show", task).out
    first.path("sick").unlink()


TRIED = """
project: tried
steps:
  - name: try
    roles: [web]
    retries: 2
    run: |
      echo x >>"$HOME/tried"
      [ "$(wc -l <"$HOME/tried")" -eq 3 ]
"""
LIMITED = """
project: limited
time_limit: 1s
steps:
  - name: long
    roles: [web]
    run: |
      echo x >>"$HOME/long"
      sleep 60
"""


def test_a_step_is_tried_so_often_and_a_task_ends_in_time(w):
    for name, process in (("tried", TRIED), ("limited", LIMITED)):
        w.project(process, name=name)
        w.release("1.0", name=name)
    machine = w.machines["web-01"]
    task = w.deploy("1.0", "--machine", "web-01", name="tried")
    w.cli("task", "wait", task)
    assert machine.lines("tried") == ["x"] * 3
    assert w.runs(task)[("web-01", "try")]["attempt"] == 3
    task = w.deploy("1.0", "--machine", "web-01", name="limited")
    result = w.cli("task", "wait", task, code=None)
    assert result.code == 5 and "deadline passed" in result.err, result
    assert len(machine.lines("long")) <= 1
