"""What the documents say must exist: reasons, commands, pages, tests."""

import os
import pathlib
import re
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
        yield " ".join(w for w in words if re.fullmatch(r"[a-z-]+", w))


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


def test_every_longarm_command_in_the_pages_exists():
    known = set(commands_of("longarm"))
    first = {c.split()[0] for c in known}
    wrong = []
    for page in PAGES:
        blocks = re.findall(r"(?ms)^```\n(.*?)^```", page.read_text())
        for line in "\n".join(blocks).splitlines():
            words = re.sub(r"^sudo ", "", line.strip()).split()
            if len(words) < 2 or words[0] != "longarm":
                continue
            two = " ".join(words[1:3])
            if words[1] not in first or (two not in known
                                         and words[1] not in known):
                wrong.append((page.name, line))
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
