"""What scripts tell: variables for later steps, files, progress, warnings."""
import hashlib
import json

import pytest

from harness import wait_until

PROCESS = """
project: shop
steps:
  - name: find out
    roles: [db]
    run: |
      longarm-step set Leader "$Machine it's"
      printf 'p4ss\\nword%d' $((617*2)) | longarm-step set --sensitive Password -
  - name: each
    run: longarm-step set Own "own of $Machine"
  - name: use
    run: |
      echo "leader=$Steps_find_out_Output_Leader own=$Steps_each_Output_Own"
      echo "plain=${Steps_find_out_Output_Password-none}"
      cat "$LONGARM_SECRETS_DIR/Steps.find-out.Output.Password" && echo
variables:
  Chained: "from ${Steps.each.Output.Own}"
"""


@pytest.fixture(scope="module")
def w(shared):
    shared.server()
    shared.tentacle("web-01")
    shared.tentacle("db-01", words=("-e", "prod", "-r", "db"))
    return shared


def notes(w, task):
    login = json.loads((w.state / "operator.login").read_text())
    status, body = w.api("GET", f"/api/v1/tasks/{task}/notes", login["key"])
    assert status == 200, body
    return json.loads(body)["items"]


def test_a_later_step_uses_what_an_earlier_one_found_out(w):
    w.project(PROCESS.replace("variables:", "").replace(
        '  Chained: "from ${Steps.each.Output.Own}"', ""))
    w.release("1")
    task = w.deploy("1")
    w.cli("task", "wait", task)
    log = w.cli("task", "log", task).out
    assert "web-01 use | leader=db-01 it's own=own of web-01" in log, log
    assert "db-01 use | leader=db-01 it's own=own of db-01" in log, log
    assert "plain=none" in log and "********" in log and "p4ss" not in log
    assert "word1234" not in log and "##longarm" not in log
    rows = {(n["machine"], n["name"]): n for n in notes(w, task)}
    assert rows["db-01", "Leader"]["text"] == "db-01 it's"
    assert rows["db-01", "Password"]["text"] is None
    shown = w.cli("task", "outputs", task)
    assert "own of web-01" in shown.out and "p4ss" not in shown.out
    for path in (w.state / "longarm.db", w.state / "longarm.db-wal"):
        assert not path.exists() or b"word1234" not in path.read_bytes()


def test_files_are_kept_and_fetched(w, tmp_path):
    body = ("head -c 3000000 /dev/urandom >report; longarm-step artifact "
            "report; echo small >s; longarm-step artifact s small.txt; "
            "longarm-step artifact /etc/passwd; sha256sum <report")
    task = w.start_run(body, "-m", "web-01")
    result = w.cli("task", "wait", task)
    assert "warning: web-01 run: artifact passwd: not kept" in result.err
    listed = w.json("task", "artifacts", task)
    assert [(a["name"], a["size"]) for a in listed] == [
        ("report", 3000000), ("small.txt", 6)]
    w.cli("task", "download", task, "--out", tmp_path)
    got = (tmp_path / "web-01-report").read_bytes()
    assert hashlib.sha256(got).hexdigest() in w.cli("task", "log", task).out
    assert (tmp_path / "web-01-small.txt").read_text() == "small\n"
    w.cli("task", "download", task, "nothing", code=3)


def test_progress_and_warnings_are_shown_while_it_runs(w):
    machine = w.machines["web-01"]
    task = w.start_run("longarm-step progress 40 'copying files'; longarm-step "
                       "warning 'disk is nearly full'; echo '##longarm[fly]'; "
                       'while [ ! -e "$HOME/go" ]; do sleep 0.02; done',
                       "-m", "web-01")

    def progress():
        return w.runs(task).get(("web-01", "run"), {}).get("progress")
    wait_until(lambda: (progress() or {}).get("warnings") == 2, "progress")
    assert progress()["percent"] == 40
    assert "40% copying files, 2 warnings" in w.cli("task", "show", task).out
    machine.touch("go")
    result = w.cli("task", "wait", task)
    assert "warning: web-01 run: disk is nearly full" in result.err
    assert "##longarm[fly]" in w.cli("task", "log", task).out
    machine.path("go").unlink()


def test_what_was_said_survives_restarts_of_both_sides(w):
    machine = w.machines["web-01"]
    task = w.start_run(
        "longarm-step set --sensitive A first-secret; s=first-sec; echo ${s}ret; "
        "longarm-step set B early; "
        'echo up; while [ ! -e "$HOME/go" ]; do sleep 0.02; done; '
        "longarm-step set C late; s=first-sec; echo ${s}ret; echo file >f; "
        "longarm-step artifact f", "-m", "web-01")
    wait_until(lambda: len(notes(w, task)) == 2, "two notes")
    machine.process.restart()
    w.server_process.restart()
    w.wait_for_server()
    machine.touch("go")
    w.cli("task", "wait", task)
    assert [(n["name"], n["text"]) for n in notes(w, task)] == [
        ("A", None), ("B", "early"), ("C", "late"), ("f", "")]
    log = w.cli("task", "log", task).out
    assert log.count("************") == 2 and "first-secret" not in log, log
    machine.path("go").unlink()


def test_a_result_goes_out_whatever_became_of_its_files(w):
    machine = w.machines["web-01"]
    task = w.start_run(
        "for f in notes output artifacts; do echo own >$f; done; "
        "longarm-step artifact notes kept; longarm-step artifact output gone; "
        'echo up; while [ ! -e "$HOME/go" ]; do sleep 0.02; done; '
        "echo late", "-m", "web-01")
    wait_until(lambda: "up" in w.cli("task", "log", task).out, "its output")
    run = max(machine.state.glob("runs/*"), key=lambda p: p.stat().st_mtime)
    w.server_process.stop()
    machine.touch("go")
    wait_until(lambda: not (run / "spec").exists(), "the end")
    (run / "artifacts" / "2").unlink()
    (run / "output").unlink()
    w.server_process.start()
    w.wait_for_server()
    result = w.cli("task", "wait", task)
    assert "artifact gone: it was kept on the machine" in result.err, result
    assert [a["name"] for a in w.json("task", "artifacts", task)] == ["kept"]
    log = w.cli("task", "log", task).out
    assert "bytes of output from here on are lost" in log, log
    machine.path("go").unlink()
