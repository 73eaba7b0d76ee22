"""What the documents say must exist: reasons, commands, pages, tests."""

import os
import pathlib
import re
import shlex
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("LONGARM_BIN", TOP / "build/cc/bin"))
DOCS = sorted((TOP / "docs").glob("*.md"))
PAGES = [TOP / "README.md", *DOCS]


def text_of(name):
    return (TOP / name).read_text()


def commands_of(program):
    """Names of all commands, from the man page that their table makes."""
    page = subprocess.run([BIN / program, "man"], env={}, check=True,
                          capture_output=True, text=True).stdout
    prefix = program.replace("-", r"\\-")
    for line in re.findall(rf"(?m)^\.SS {prefix} (.*)$", page):
        words = line.replace("\\-", "-").split()
        yield " ".join(w for w in words if re.fullmatch(r"[a-z][a-z-]*", w))


def test_every_reason_is_in_the_operators_table_and_no_other():
    known = re.findall(r'\[REASON_\w+\] = \{ "([a-z-]+)"',
                       text_of("proto/reason.c"))
    section = text_of("docs/operator.md").split("## Troubleshooting")[1]
    section = section.split("\n## ")[0]
    listed = re.findall(r"(?m)^\| `([a-z-]+)` \|", section)
    assert len(known) > 30
    assert sorted(listed) == sorted(known)


def test_every_exit_code_is_listed():
    codes = re.findall(r"COMMAND_[A-Z_]+ = (\d+)", text_of("common/command.h"))
    section = text_of("docs/operator.md").split("## Exit codes")[1]
    listed = re.findall(r"(?m)^\| (\d+) \|", section.split("\n## ")[0])
    assert listed == codes


@pytest.mark.parametrize("program", ("longarm", "longarm-server",
                                     "longarm-relay", "longarm-tentacle"))
def test_every_command_has_a_place_in_the_operators_page(program):
    page = text_of("docs/operator.md")
    names = [c for c in commands_of(program)
             if c.split()[0] not in ("completion", "man", "version", "help")]
    assert names
    missing = [c for c in names
               if f"`{c}`" not in page and f"`{program} {c}" not in page
               and f"`{c}` (all three)" not in page]
    assert missing == []


def examples():
    """Every line that begins with one of the programs, as a shell sees it."""
    for page in PAGES:
        text = page.read_text()
        lines = re.findall(r"`((?:longarm|longarm-[a-z]+) [^`]+)`", text)
        for block in re.findall(r"(?ms)^```\n(.*?)^```", text):
            lines += re.findall(
                r"(?m)^\s*(?:sudo )?(?:-u [a-z-]+ )?"
                r"((?:longarm|longarm-[a-z]+) .*)$", block)
        for line in lines:
            words = shlex.split(line, comments=True)
            end = [i for i, w in enumerate(words)
                   if w in ("&", "|") or re.match(r"\d?[<>]", w)]
            yield page.name, words[:end[0]] if end else words


def test_every_example_is_understood(tmp_path):
    """Nothing listens where they look: all that is asked is exit code 2."""
    key = tmp_path / "key"
    key.write_text("lk1.nobody.nothing\n")
    key.chmod(0o600)
    env = {"HOME": str(tmp_path), "LONGARM_URL": "https://127.0.0.1:1",
           "LONGARM_TOKEN_FILE": str(key)}
    wrong, count = [], 0
    for page, words in examples():
        if words[1] in ("serve", "run") and words[0] != "longarm" \
                or words[1] == "init":
            words = [*words, "--help"]
        done = subprocess.run([BIN / words[0], *words[1:]], env=env,
                              cwd=tmp_path, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=60)
        count += 1
        # A command that is only named needs no arguments.
        if done.returncode == 2 and " needs " not in done.stderr:
            wrong.append((page, " ".join(words), done.stderr))
    assert count > 60
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", DOCS, ids=lambda p: p.name)
def test_files_and_tests_that_a_page_names_exist(page):
    text = page.read_text()
    for path in re.findall(r"`((?:proto|common|relay|tentacle|server|test|"
                           r"scripts)/[a-z0-9_/.-]+\.[a-z]+)`", text):
        assert (TOP / path).exists(), path
    named = set(re.findall(r"`(test_[a-z0-9_]+)`", text))
    if named:
        sources = "\n".join(
            p.read_text() for p in (TOP / "test").rglob("*")
            if p.suffix in (".c", ".py", ".h"))
        assert [n for n in sorted(named) if f" {n}(" not in sources] == []


def test_every_claim_of_the_security_page_names_what_shows_it():
    text = text_of("docs/security.md")
    tables = text.split("## If something")[1].split("## Known limits")[0]
    rows = [line for line in tables.splitlines() if line.startswith("| ")
            and "shown by |" not in line]
    assert len(rows) > 60
    for row in rows:
        proof = row.rstrip(" |").rsplit("|", 1)[-1]
        assert re.search(r"`test_\w+`|by construction|the units|fuzz-all",
                         proof), row
