"""Flags of commands that look at the swarm or move its tasks, and of swarmctl itself."""

from manager.rebalancing import rebalance
from swarm import __version__
from swarm.api.v1 import control_pb2 as pb
from swarm.api.v1 import objects_pb2
from swarm.specs import UpdatePolicy
from tests.flags.asking import asks, formatted, has, lines, prints
from tests.flags.commands import ITSELF
from tests.flags.lab import Lab
from tests.flags.stories import world_of
from tests.flags.table import OUTPUT, PLAN, REQUEST, Proof, Row, elsewhere

# -- what happens and what is used ---------------------------------------------------------


def _events(lab: Lab) -> None:
    """A service was made, and long after that a node came."""
    lab.swarm.events = [
        objects_pb2.Event(at=1e9, kind="service", action="create", id="s1", name="web"),
        objects_pb2.Event(at=1.5e9, kind="node", action="create", id="n1", name="alpha"),
    ]


def _stats(lab: Lab) -> None:
    """One of several tasks has something to tell."""
    sample = pb.TaskStats(task_id="t" * 25, service_name="web", slot=1, cpu_percent=5.0)
    lab.swarm.stats = [pb.StatsBatch(node_id="n1", node_hostname="alpha", tasks=[sample])]


def _verdicts(lab: Lab) -> None:
    verdict = pb.NodeVerdict(node_id="n1", hostname="alpha", admits=True)
    lab.swarm.explanation = pb.ExplainPlacementResponse(summary="it fits", verdicts=[verdict])


EVENTS: tuple[Row, ...] = (
    prints(
        "events", "--filter", "-f type=node", lambda ran: len(lines(ran)), 1,
        rest="--since 1h", given=_events,
    ),
    formatted("events", "--format x{{.Action}}", "--since 1h", given=_events),
    asks(
        "events", "--since", "--since 1700000000", pb.WatchEventsRequest, lambda r: r.since, 1.7e9,
    ),
    prints(
        "events", "--until", "--until 1200000000", lambda ran: len(lines(ran)), 1,
        rest="--since 900000000", given=_events,
    ),
)  # fmt: skip
STATS: tuple[Row, ...] = (
    prints("stats", "--all", "-a", has(" -- "), True, rest="--no-stream", given=_stats),
    formatted("stats", "--format x{{.Name}}", "--no-stream", given=_stats),
    prints(
        "stats", "--no-trunc", "--no-trunc", has("t" * 25), True, rest="--no-stream", given=_stats
    ),
    elsewhere(
        "stats",
        "--no-stream",
        OUTPUT,
        "tests/swarmctl/commands/test_looking.py::test_one_sample_is_printed_and_that_is_all",
    ),
)


# -- moving tasks --------------------------------------------------------------------------


def _moved(lab: Lab, *flags: str) -> int:
    """How many of four tasks the leader moves to a node that came, in answer to the first call."""
    assert lab.run("rebalance", "-d", *flags).status == 0
    world = world_of("a")
    world.service(replicas=4, update=UpdatePolicy(parallelism=0))
    world.converge()
    world.add_node("b")
    world.converge()
    found = rebalance(world.view, world.fleet, max_moves=lab.sent(pb.RebalanceRequest).max_moves)
    return len(found.moves)


def _max_moves(lab: Lab, flag: str) -> None:
    assert _moved(lab, flag, "1") == 1
    assert _moved(lab) == 2


def _one_wave(lab: Lab, flag: str) -> None:
    """Detached, the rest is left to another call."""

    def waves(*flags: str) -> int:
        lab.furnish()
        move = pb.Move(task_id="gone", name="web.1", from_hostname="alpha", to_hostname="beta")
        lab.swarm.waves = [pb.RebalanceResponse(moves=[move]) for _ in range(2)]
        assert lab.run("rebalance", *flags).status == 0
        return 2 - len(lab.swarm.waves)

    assert waves(flag) == 1
    assert waves() == 2


# -- swarmctl itself -----------------------------------------------------------------------


def _host(lab: Lab, flag: str) -> None:
    ran = lab.run(flag, f"unix://{lab.directory}/nobody", "status")
    assert "is it running?" in ran.err
    assert not lab.swarm.requests
    assert lab.run("status").status == 0
    assert lab.swarm.requests


ROWS: tuple[Row, ...] = (
    Row(ITSELF, "--host", Proof(REQUEST, _host)),
    prints(ITSELF, "--version", "-v", lambda ran: ran.out, f"swarmctl {__version__}\n"),
    *EVENTS,
    *STATS,
    Row("rebalance", "--max-moves", Proof(PLAN, _max_moves)),
    Row("rebalance", "--detach", Proof(REQUEST, _one_wave)),
    elsewhere(
        "rebalance",
        "--dry-run",
        PLAN,
        "tests/cluster/test_forecasts.py"
        "::test_a_node_that_joins_gets_its_share_and_replacements_come_first",
    ),
    formatted("why", "--format x{{.Node}}", "web", given=_verdicts),
    formatted("task inspect", "-f x{{.ID}}", "t" * 25),
    formatted("status", "-f x{{.Role}}"),
    formatted("version", "-f x{{.Server.Version}}"),
)
