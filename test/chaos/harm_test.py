"""Names in tables that others' files must know."""
import pathlib
import sys

sys.dont_write_bytecode = True
TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "test" / "scenario"))
sys.path.insert(1, str(pathlib.Path(__file__).parent))

from harm import POINTS, ROLES, WEIGHTS, Harm  # noqa: E402


def test_every_point_that_kills_wait_at_exists():
    sources = "".join(
        path.read_text() for room in ("server", "tentacle", "test/failing")
        for path in (TOP / room).rglob("*.c"))
    for points in POINTS.values():
        for name in points:
            assert f'"{name}"' in sources, name


def test_every_kind_of_kill_has_its_function():
    assert set(ROLES) < set(WEIGHTS)
    for kind in WEIGHTS:
        assert callable(getattr(Harm, kind))
