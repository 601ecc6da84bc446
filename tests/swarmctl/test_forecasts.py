from swarm.api.v1 import control_pb2
from swarmctl.forecasts import SHOWN_TASKS, applying, as_json, is_change, picture

PLAN = control_pb2.PlanServiceResponse(
    changes=[
        control_pb2.FieldChange(path="task.container.image", before="app:1", after="app:2"),
        control_pb2.FieldChange(path="labels[tier]", before="front"),
        control_pb2.FieldChange(path="task.container.env[A]", after="1"),
    ],
    tasks=[
        control_pb2.PlannedTask(
            action="replace", name="web.1", node_hostname="n1", from_hostname="n1"
        ),
        control_pb2.PlannedTask(
            action="replace", name="web.2", node_hostname="n1", from_hostname="n2"
        ),
        control_pb2.PlannedTask(
            action="move", name="web.3", node_hostname="n1", from_hostname="n3"
        ),
        control_pb2.PlannedTask(action="start", name="web.4", node_hostname="n3"),
        control_pb2.PlannedTask(action="stop", name="web.5", node_hostname="n3"),
        control_pb2.PlannedTask(action="wait", name="web.6", reason="no suitable node"),
        control_pb2.PlannedTask(action="wait", name="web.7", from_hostname="n2", reason="full"),
        control_pb2.PlannedTask(action="wait", name="web.8", node_hostname="n2", reason="full"),
    ],
    warnings=["tasks are replaced 2 at a time"],
    revision=4,
    is_new_version=True,
)
TEXT = """\
~ service web (revision 4): a new version of its tasks
  ~ task.container.image   app:1 -> app:2
  - labels[tier]           front
  + task.container.env[A]  1

tasks: 1 to start, 1 to stop, 2 to replace, 1 to move, 3 to wait
  ~ web.1  is replaced on n1
  ~ web.2  is replaced, from n2 to n1
  > web.3  moves from n3 to n1
  + web.4  starts on n3
  - web.5  stops on n3
  ? web.6  stays pending: no suitable node
  ? web.7  leaves n2 and stays pending: full
  ? web.8  stays as it is on n2 while its replacement is pending: full

Note: tasks are replaced 2 at a time
"""


def test_a_plan_reads_like_a_diff() -> None:
    assert picture(PLAN, name="web", is_new=False, colours=False) == TEXT


def test_colours_change_nothing_but_the_colours() -> None:
    coloured = picture(PLAN, name="web", is_new=False, colours=True)

    assert "\x1b[33m  ~ web.1  is replaced on n1\x1b[0m\n" in coloured
    assert "\x1b[31m  - web.5" in coloured
    for colour in ("0", "31", "32", "33", "35", "36"):
        coloured = coloured.replace(f"\x1b[{colour}m", "")
    assert coloured == TEXT


def test_nothing_to_change_is_said_in_a_line() -> None:
    plan = control_pb2.PlanServiceResponse(revision=2)

    text = picture(plan, name="web", is_new=False, colours=False)

    assert text == "service web (revision 2): nothing would change\n"
    assert not is_change(plan)


def test_what_waits_as_before_is_no_change() -> None:
    waiting = control_pb2.PlannedTask(action="wait", name="web.6")

    assert not is_change(control_pb2.PlanServiceResponse(tasks=[waiting]))
    assert is_change(PLAN)


def test_many_tasks_of_a_kind_are_counted() -> None:
    tasks = [
        control_pb2.PlannedTask(action="start", name=f"web.{number}", node_hostname="n1")
        for number in range(1, 1001)
    ]
    plan = control_pb2.PlanServiceResponse(tasks=tasks)

    text = picture(plan, name="web", is_new=True, colours=False)

    assert text.startswith("+ service web\n\ntasks: 1000 to start\n")
    assert text.endswith(f"  + and {1000 - SHOWN_TASKS} more to start\n")


def test_programs_get_all_of_it() -> None:
    assert '"Revision": 4' in as_json(PLAN)
    assert '"Action": "move"' in as_json(PLAN)


def test_the_command_to_apply_is_the_one_that_was_planned() -> None:
    words = ("--image", "app:2", "--dry-run", "--env-add", "A=x y", "web")

    assert applying(words, command="service update", revision=4) == (
        "swarmctl service update --check-revision 4 --image app:2 --env-add 'A=x y' web"
    )


def test_flags_of_the_plan_itself_are_left_out_but_not_those_of_the_container() -> None:
    words = ("--format", "json", "--check-revision=3", "app:1", "--", "--format", "x")

    assert applying(words, command="service create", revision=0) == (
        "swarmctl service create app:1 -- --format x"
    )
