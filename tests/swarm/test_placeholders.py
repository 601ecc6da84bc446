"""What the check of a spec knows is what nodes fill in."""

from agent.templates import Host, expand, names
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Task
from swarm.placeholders import NAMES, broken_templates, unknown_names

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


def test_templates_of_a_file_that_nobody_could_fill_in_are_told_by_their_lines() -> None:
    fine = (
        '{{.Service.Name}} {{ env  "X" }} {{secret "a b"}} {{config "/etc/c"}} {{.Task.Slot}}'
        '{{.Service.Labels.zone}} {{index .Service.Labels "com.example.rack"}} } }} {"a": {}}'
    )
    assert not [*broken_templates(fine)]
    broken = "{{.Service.Name}}\n{{if .Service.Name}}yes{{end}}\n{{- .Task.ID -}}{{env FOO\n"
    assert [*broken_templates(broken)] == [
        "the template on line 2 is none that there is",
        "the template on line 2 is none that there is",
        "the template on line 3 is none that there is",
        "the template on line 3 is never closed",
    ]
