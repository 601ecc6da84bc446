"""Show what a change would do: the fields, then the tasks, then what to know before doing it.

Every line begins with a sign: `+` for what would be there, `-` for what would not, `~` for
what would change, `>` for what would move, `?` for what would wait. A terminal shows them in
colours; without one they are the same lines, for a review or a diff of two plans.
"""

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence

from swarm.api.v1 import control_pb2

SHOWN_TASKS = 40
"""How many tasks of a kind are listed; the others are counted."""

_SIGNS = {"start": "+", "stop": "-", "replace": "~", "move": ">", "wait": "?"}
_DOING = {
    "start": "to start",
    "stop": "to stop",
    "replace": "to replace",
    "move": "to move",
    "wait": "to wait",
}
_COLOURS = {"+": "32", "-": "31", "~": "33", ">": "36", "?": "35"}
_OWN_FLAGS = ("--dry-run", "--check-revision", "--format")


def is_change(plan: control_pb2.PlanServiceResponse) -> bool:
    """Whether applying it would do anything. What waits already is nothing new."""
    return bool(plan.changes) or any(each.action != "wait" for each in plan.tasks)


def picture(
    plan: control_pb2.PlanServiceResponse, *, name: str, is_new: bool, colours: bool
) -> str:
    """The plan for people."""
    lines = [
        *_heading(plan, name, is_new),
        *(f"  {each}" for each in _fields(plan.changes)),
        *_tasks(plan.tasks),
    ]
    if plan.warnings:
        lines += ["", *(f"Note: {each}" for each in plan.warnings)]
    return "".join(f"{_coloured(each) if colours else each}\n" for each in lines)


def as_json(plan: control_pb2.PlanServiceResponse) -> str:
    """The plan for programs."""
    found = {
        "Revision": plan.revision,
        "NewVersion": plan.is_new_version,
        "Changes": [
            {"Path": each.path, "Before": each.before, "After": each.after} for each in plan.changes
        ],
        "Tasks": [
            {
                "Action": each.action,
                "Name": each.name,
                "Node": each.node_hostname,
                "From": each.from_hostname,
                "Reason": each.reason,
            }
            for each in plan.tasks
        ],
        "Warnings": list(plan.warnings),
    }
    return json.dumps(found, ensure_ascii=False, indent=2) + "\n"


def applying(words: Sequence[str], *, command: str, revision: int) -> str:
    """The command that applies just what was planned by one with `words`."""
    check = f"--check-revision {revision} " if revision else ""
    return f"swarmctl {command} {check}{shlex.join(_without_own(words))}"


def _without_own(words: Sequence[str]) -> Iterator[str]:
    rest = iter(words)
    for word in rest:
        name, equals, _ = word.partition("=")
        if word == "--":
            yield word
            yield from rest
        elif name not in _OWN_FLAGS:
            yield word
        elif name != "--dry-run" and not equals:
            next(rest, None)


def _heading(plan: control_pb2.PlanServiceResponse, name: str, is_new: bool) -> Iterator[str]:
    if is_new:
        yield f"+ service {name}"
    elif not is_change(plan):
        yield f"service {name} (revision {plan.revision}): nothing would change"
    else:
        version = ": a new version of its tasks" if plan.is_new_version else ""
        yield f"~ service {name} (revision {plan.revision}){version}"


def _fields(changes: Sequence[control_pb2.FieldChange]) -> Iterator[str]:
    width = max((len(each.path) for each in changes), default=0)
    for each in changes:
        path = each.path.ljust(width)
        if each.before and each.after:
            yield f"~ {path}  {each.before} -> {each.after}"
        else:
            sign = "+" if each.after or not each.before else "-"
            yield f"{sign} {path}  {each.after or each.before}".rstrip()


def _tasks(tasks: Sequence[control_pb2.PlannedTask]) -> Iterator[str]:
    if not tasks:
        return
    counts = Counter(each.action for each in tasks)
    told = ", ".join(f"{counts[each]} {_DOING[each]}" for each in _DOING if counts[each])
    yield ""
    yield f"tasks: {told}"
    shown: Counter[str] = Counter()
    for each in tasks:
        shown[each.action] += 1
        if shown[each.action] <= SHOWN_TASKS:
            yield f"  {_SIGNS.get(each.action, '~')} {each.name}  {_task(each)}"
    for action, count in counts.items():
        if count > SHOWN_TASKS:
            yield f"  {_SIGNS.get(action, '~')} and {count - SHOWN_TASKS} more {_DOING[action]}"


def _task(task: control_pb2.PlannedTask) -> str:
    there, origin = task.node_hostname, task.from_hostname
    why = f": {task.reason}" if task.reason else ""
    match task.action:
        case "start":
            return f"starts on {there}"
        case "stop":
            return f"stops on {there}{why}"
        case "replace" if origin == there:
            return f"is replaced on {there}"
        case "replace":
            return f"is replaced, from {origin} to {there}"
        case "move":
            return f"moves from {origin} to {there}{why}"
        case _ if origin:
            return f"leaves {origin} and stays pending{why}"
        case _ if there:
            return f"stays as it is on {there} while its replacement is pending{why}"
        case _:
            return f"stays pending{why}"


def _coloured(line: str) -> str:
    sign = line.lstrip()[:1]
    colour = _COLOURS.get(sign)
    return f"\x1b[{colour}m{line}\x1b[0m" if colour and line.lstrip()[1:2] == " " else line
