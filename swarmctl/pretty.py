"""Print objects for people, as `inspect --pretty` does: only what is set, indented by part."""

from collections.abc import Iterable

from swarm import wishes
from swarm.api.v1 import control_pb2
from swarm.codec import from_message
from swarm.objects import Ledger, Node, Rollout, Run, Service, ServiceEndpoint
from swarm.quantities import format_cpus, format_duration, format_memory
from swarmctl import pretty_specs, rows
from swarmctl.pretty_specs import Line, mapping, text
from swarmctl.times import rfc3339


def pretty_service(view: control_pb2.ServiceView) -> str:
    """A service for people."""
    service = from_message(Service, view.service)
    ledger = from_message(Ledger, view.ledger)
    spec = service.spec
    lines: list[Line] = [
        ("ID:", service.id),
        ("Name:", spec.name),
        *mapping("Labels:", spec.labels),
        *pretty_specs.mode(spec),
        *_counts(view, is_job=spec.is_job),
        ("Created:", rfc3339(service.created_at)),
        ("Updated:", rfc3339(service.updated_at)),
        ("Revision:", str(service.revision)),
    ]
    if ledger.rollout is not None:
        lines += _rollout(ledger.rollout)
    if ledger.replicas:
        lines += [("Autoscaled to:", str(ledger.replicas)), (" Because:", ledger.scale_message)]
    for run in ledger.runs:
        lines.append((f"Run {run.number}:", _run(run)))
    lines.append(("Next run:", rfc3339(view.next_firing_at) if view.next_firing_at else ""))
    lines += pretty_specs.policies(spec)
    lines += pretty_specs.task(spec.task, {each.id: each.spec.name for each in view.networks})
    lines += pretty_specs.endpoint(spec.endpoint, from_message(ServiceEndpoint, view.endpoint))
    return text(lines)


def _counts(view: control_pb2.ServiceView, *, is_job: bool) -> list[Line]:
    """Those of a job that completed count as running in what the manager says."""
    if not is_job:
        return [("Running:", f"{view.running} of {view.wanted}")]
    running = max(view.running - view.completed, 0)
    return [("Running:", str(running)), ("Completed:", f"{view.completed} of {view.wanted}")]


def pretty_node(view: control_pb2.NodeView) -> str:
    """A node for people."""
    node = from_message(Node, view.node)
    description, manager = node.description, rows.manager_status(view)
    timeout_s = node.spec.drain_timeout_s
    lines: list[Line] = [
        ("ID:", node.id),
        ("Hostname:", description.hostname),
        *mapping("Labels:", node.spec.labels),
        *(("Taint:", wishes.print_taint(each)) for each in node.spec.taints),
        ("Joined at:", rfc3339(node.created_at)),
        ("Status:", None),
        (" State:", rows.node_state(view).title()),
        (" Availability:", rows.availability(view.node.spec).title()),
        (" Since:", rfc3339(node.availability_at) if node.availability_at else ""),
        (" Drain timeout:", format_duration(timeout_s) if timeout_s else ""),
        (" Message:", view.message),
        (" Address:", description.addr),
    ]
    if manager:
        lines += [
            ("Manager Status:", None),
            (" Address:", view.manager_addr),
            (" Status:", manager),
        ]
    resources = description.resources
    lines += [
        ("Platform:", None),
        (" Operating System:", description.os),
        (" Architecture:", description.arch),
        ("Resources:", None),
        (" CPUs:", format_cpus(resources.cpu_millis)),
        (" Memory:", format_memory(resources.memory_bytes)),
        (" Generic:", ", ".join(wishes.print_node_generics(resources.generic))),
        ("Volumes:", ", ".join(description.volumes)),
        ("Engine Version:", description.engine_version),
        *mapping("Engine Labels:", description.engine_labels),
        *(("Security Option:", each) for each in description.security_options),
    ]
    return text(lines)


def _rollout(rollout: Rollout) -> Iterable[Line]:
    yield "UpdateStatus:", None
    yield " State:", rollout.state.word
    yield " Started:", rfc3339(rollout.started_at)
    yield " Completed:", rfc3339(rollout.completed_at) if rollout.completed_at else ""
    yield " Message:", rollout.message
    yield " Failed:", ", ".join(rollout.failed)


def _run(run: Run) -> str:
    ended = f" at {rfc3339(run.ended_at)}" if run.ended_at else ""
    return f"{run.state.word}{ended}, due {rfc3339(run.due_at)}"
