"""What `make bench` makes of its measurements: figures, JSON, table, plots."""
import pathlib
import sys
import xml.etree.ElementTree

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "bench"))

import figures  # noqa: E402
import plot  # noqa: E402


def rounds_of(key, numbers):
    return [{"row": "bulk", "round": i + 1, "load": 0.1,
             "measured": {"longarm": {"mb_s": 100 * number},
                          "haproxy": {"mb_s": 100.0}},
             "ratios": {key: number}} for i, number in enumerate(numbers)]


def test_a_percentile_is_one_of_the_numbers_that_were_measured():
    numbers = list(range(1, 101))
    assert figures.percentile(numbers, 50) == 50
    assert figures.percentile(numbers, 99) == 99
    assert figures.percentile(numbers, 100) == 100
    assert figures.percentile([7], 99) == 7
    assert figures.percentile([3, 1, 2], 1) == 1
    with pytest.raises(ValueError):
        figures.percentile([], 50)


def test_a_load_is_told_by_the_second_and_by_the_gigabyte():
    raw = {"us": 2_000_000, "bytes": 1_000_000_000, "cpu_ns": 1_500_000_000,
           "load_ns": 800_000_000}
    assert figures.load(raw) == {"mb_s": 500.0, "cpu_s_per_gb": 1.5,
                                 "load_s_per_gb": 0.8, "relay_busy": 0.75}


def test_a_ratio_is_the_median_of_the_rounds_ratios():
    key = "bulk_throughput_vs_haproxy"
    rounds = rounds_of(key, [1.0, 9.0, 1.2])
    # Not the ratio of the medians, of other rounds each.
    rounds[0]["measured"]["haproxy"]["mb_s"] = 900.0
    whole = figures.result({}, rounds)
    assert whole["ratios"] == {key: 1.2}
    assert whole["medians"]["bulk.longarm.mb_s"] == 120.0
    assert set(whole) == {"machine", "rounds", "medians", "ratios"}


def test_a_ratio_that_is_not_in_the_table_of_figures_is_not_told():
    rounds = rounds_of("bulk_beauty_vs_haproxy", [1.0])
    assert figures.result({}, rounds)["ratios"] == {}


@pytest.mark.parametrize("key, ratio, said", [
    ("bulk_throughput_vs_haproxy", 1.30, "aim"),
    ("bulk_throughput_vs_haproxy", 1.29, "must"),
    ("bulk_throughput_vs_haproxy", 1.09, "missed"),
    ("reconnect_cpu_vs_nginx", 0.8, "aim"),
    ("reconnect_cpu_vs_nginx", 1.0, "must"),
    ("reconnect_cpu_vs_nginx", 1.01, "missed")])
def test_the_verdict_knows_which_way_is_better(key, ratio, said):
    assert figures.verdict(key, ratio) == said


def test_the_table_has_a_line_for_each_ratio_and_for_each_median():
    key = "reconnect_cpu_vs_nginx"
    lines = figures.table(
        figures.result({}, rounds_of(key, [0.7, 0.9]))).splitlines()
    assert [x for x in lines if x.startswith(f"| `{key}` | **0.8** ")]
    assert "| bulk.haproxy.mb_s | 100 |" in lines


def test_bars_are_as_long_as_their_numbers_say():
    whole = {"medians": {"bulk.longarm.mb_s": 800.0, "bulk.haproxy.mb_s": 400.0}}
    drawn = plot.draw(whole)
    assert list(drawn) == ["bulk-throughput.svg"]
    tree = xml.etree.ElementTree.fromstring(drawn["bulk-throughput.svg"])
    widths = [int(e.get("width")) for e in tree
              if e.tag.endswith("rect") and e.get("height") == str(plot.BAR)]
    assert widths[0] == 2 * widths[1] > 100
