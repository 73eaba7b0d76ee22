"""A small fleet loses its relay, twice; make bench-fleet does it with thousands."""
from swarm import Bench

COUNT = 25


def test_a_fleet_comes_back_by_its_second_relay_and_by_a_restart(world):
    bench = Bench(world, COUNT)
    bench.build()
    bench.start()
    bench.failover()
    bench.restart()
    bench.sweep()
    result = bench.result()
    assert result["tentacles"] == COUNT
    assert result["reconverge_seconds"] < 60
    assert result["live_delay_max_seconds"] < 10
    assert 0 < result["readyz_p99_ms"] < 10000
    assert 0 < result["log_delay_p99_ms"] < 10000
    # All that were in the swarm had a way of their own through each.
    assert len({m["id"] for m in bench.api.machines()}) == COUNT + 1
