"""What a large fleet is asked for: no more than is needed."""
import re

import pytest

from swarm import Api

MACHINES = 120  # more than a page


@pytest.fixture(scope="module")
def w(shared):
    shared.server()
    api = Api(shared)
    for i in range(MACHINES):
        api.ask("POST", "/api/v1/machines", 201, f'{{"name": "m-{i:03}"}}')
    return shared


def requests_of(w, command):
    """What it printed, and how often it asked the server."""
    def count():
        text = w.api("GET", "/metrics", w.key())[1]
        return int(re.search(r"^longarm_http_requests_total (\d+)", text,
                             re.M).group(1))
    before = count()
    out = w.json(*command)
    return out, count() - before - 1


def test_one_machine_is_asked_for_alone(w):
    shown, asked = requests_of(w, ["health", "show", "m-110"])
    assert [m["name"] for m in shown] == ["m-110"] and asked == 1
    both, asked = requests_of(w, ["health", "show", "m-007", "m-110"])
    assert [m["name"] for m in both] == ["m-007", "m-110"] and asked == 2


def test_all_are_listed_in_few_pages(w):
    listed, asked = requests_of(w, ["machine", "list"])
    assert [m["name"] for m in listed] == [
        f"m-{i:03}" for i in range(MACHINES)] and asked == 2


def test_a_machine_that_is_not_there_is_told(w):
    result = w.cli("health", "show", "m-999", code=None)
    assert result.code != 0 and "m-999" in result.err, result
