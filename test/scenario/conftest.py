"""Worlds for tests; when one fails, what its processes logged is shown."""
import os
import pathlib
import shutil
import sys
import tempfile

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))

pytest.register_assert_rewrite("harness")
from harness import BIN, World  # noqa: E402

# `make soak`: what is marked so is played again and again.
TIMES = 20 if "LONGARM_SOAK" in os.environ else 1
_open = []


def pytest_generate_tests(metafunc):
    if TIMES > 1 and metafunc.definition.get_closest_marker("soak"):
        metafunc.fixturenames.append("time")
        metafunc.parametrize("time", range(TIMES))


def make_world(kind=World):
    # Short paths: easier to read in logs.
    directory = pathlib.Path(tempfile.mkdtemp(prefix="longarm-"))
    world = kind(directory)
    _open.append(world)
    return world


def drop_world(world):
    world.close()
    _open.remove(world)
    crashes = world.crashes()
    shutil.rmtree(world.directory, ignore_errors=True)
    assert not crashes, "\n".join(crashes)


@pytest.fixture
def world():
    """A world for one test; nothing is in it yet."""
    one = make_world()
    yield one
    drop_world(one)


@pytest.fixture(scope="module")
def shared():
    """A world for the tests of one file."""
    one = make_world()
    yield one
    drop_world(one)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for world in _open:
            report.sections.append(
                (f"logs in {world.directory}", world.logs()))


def pytest_sessionstart(session):
    for program in ("longarm", "longarm-server", "longarm-relay",
                    "longarm-tentacle"):
        if not (BIN / program).exists():
            pytest.exit(f"{BIN / program} is missing: make, then set "
                        "LONGARM_BIN", returncode=2)
