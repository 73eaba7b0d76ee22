"""All links by IPv6, in each direction, enrolment included."""
import dialogue


def test_a_fleet_of_ipv6_addresses_only(world):
    world.host = "[::1]"
    world.server()
    world.relay("dc2-a")
    world.relay("dc2-b", dialled=True)
    for name, via, dialled in (("a", "dc2-a", True), ("b", "dc2-a", False),
                               ("c", "dc2-b", True), ("d", "dc2-b", False),
                               ("e", None, True), ("f", None, False)):
        world.tentacle(name, via=via, dialled=dialled)
    dialogue.prepare(world)
    world.cli("health", "run")
    world.cli("deploy", "shop", "--release", "1.0", "--to", "prod", "--wait")
    for machine in world.machines.values():
        assert machine.lines("activated") == ["activated"]
    explained = world.cli("route", "explain", "c").out
    assert world.machines["c"].address() in explained, explained
