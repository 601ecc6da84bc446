"""What the check of a spec knows is what nodes fill in."""

from agent.templates import Host, expand, names
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Task
from swarm.placeholders import NAMES, unknown_names

LABELS = {"zone": "east", "com.example.rack": "7"}


def test_nodes_fill_in_all_names_and_no_others() -> None:
    task = Task(id=TaskId("t"), service_id=ServiceId("s"), service_name="web", slot=1)
    host = Host(node_id=NodeId("n"), hostname="alpha")

    filled = names(task, LABELS, host)

    assert set(NAMES) <= set(filled)
    text = " ".join(f"{{{{ {each} }}}}" for each in filled)
    assert unknown_names(text, LABELS) == ()
    assert "{{" not in expand(text, filled, path="x")


def test_unknown_names_are_told_once_each() -> None:
    text = "{{.Node.Bogus}} {{.Node.Bogus}} {{.Service.Labels.zone}} {{.Service.Name}}"

    assert unknown_names(text, {}) == (".Node.Bogus", ".Service.Labels.zone")
    assert unknown_names('{"a": {"b": 1}}', {}) == ()
