"""Translate a service's spec between Docker's API and ours.

Both directions of a subject are in one module, and lead back to where they began: a client that
sends back what it read changes nothing (decision 0037). What we have beyond Docker's is written
under names of our own beside Docker's; a client that does not know them does not send them, so
what it does not speak of stays as it was `before`.
"""

from msgspec import structs

from engine.services.containers import read_container, write_container
from engine.services.endpoints import (
    read_attachments,
    read_endpoint,
    write_attachments,
    write_endpoint,
)
from engine.services.placement import read_placement, write_placement
from engine.services.policies import read_policy, read_restart, write_policy, write_restart
from engine.services.resources import read_resources, write_resources
from engine.services.runs import (
    read_autoscale,
    read_mode,
    read_schedule,
    write_autoscale,
    write_mode,
    write_schedule,
)
from engine.services.words import ordered, read_word, word
from engine.wire.services import (
    DependencyJson,
    DriverJson,
    PlacementJson,
    ResourcesJson,
    ServiceSpecJson,
    TaskJson,
)
from swarm.errors import Invalid
from swarm.specs import Dependency, DependencyCondition, LogDriver, ServiceSpec, TaskSpec

CONTAINER = "container"

_TASK = "TaskTemplate"


def read_spec(asked: ServiceSpecJson, before: ServiceSpec | None = None) -> ServiceSpec:
    """The service that a client asks for, where it was `before` so far."""
    base = before or ServiceSpec()
    if asked.task_template is None:
        raise Invalid(f"{_TASK}: must be given")
    task = read_task(asked.task_template, base.task)
    if asked.networks and not task.networks:  # where they were before API 1.25
        task = structs.replace(task, networks=read_attachments(asked.networks))
    unavailable = asked.max_unavailable
    return structs.replace(
        base,
        name=asked.name or base.name,
        labels=asked.labels or {},
        mode=read_mode("Mode", asked.mode, base.mode),
        task=task,
        update=read_policy("UpdateConfig", asked.update_config, base.update),
        rollback=read_policy("RollbackConfig", asked.rollback_config, base.rollback),
        endpoint=read_endpoint("EndpointSpec", asked.endpoint_spec, base.endpoint),
        schedule=read_schedule("Schedule", asked.schedule, base.schedule),
        autoscale=read_autoscale(asked.autoscale, base.autoscale),
        max_unavailable=base.max_unavailable if unavailable is None else unavailable,
    )


def write_spec(spec: ServiceSpec, *, defaults: bool = False) -> ServiceSpecJson:
    """A service as Docker's clients read it; policies that are as by default only on request."""
    show = defaults and not spec.is_job
    return ServiceSpecJson(
        name=spec.name,
        labels=ordered(spec.labels),
        task_template=structs.replace(write_task(spec.task, defaults=defaults), runtime=CONTAINER),
        mode=write_mode(spec.mode),
        update_config=write_policy(spec.update, defaults=show),
        rollback_config=write_policy(spec.rollback, defaults=show),
        endpoint_spec=write_endpoint(spec.endpoint),
        schedule=write_schedule(spec.schedule),
        autoscale=write_autoscale(spec.autoscale),
        max_unavailable=spec.max_unavailable or None,
    )


def read_task(asked: TaskJson, before: TaskSpec) -> TaskSpec:
    """What a client wants tasks to be made from."""
    if asked.runtime.lower() not in ("", CONTAINER) or asked.plugin_spec:
        raise Invalid(
            f"{_TASK}.Runtime: tasks of {asked.runtime or 'plugins'!r} do not run here",
            hint=f"use {CONTAINER}",
        )
    if asked.network_attachment_spec:
        raise Invalid(f"{_TASK}.NetworkAttachmentSpec: is for Docker's own use; leave it out")
    if asked.container_spec is None:
        raise Invalid(f"{_TASK}.ContainerSpec: must be given")
    driver, priority = asked.log_driver or DriverJson(), asked.priority
    task = read_resources(asked.resources or ResourcesJson(), before)
    return structs.replace(
        task,
        container=read_container(f"{_TASK}.ContainerSpec", asked.container_spec, before.container),
        restart=read_restart(f"{_TASK}.RestartPolicy", asked.restart_policy, before.restart),
        placement=read_placement(
            f"{_TASK}.Placement", asked.placement or PlacementJson(), before.placement
        ),
        networks=read_attachments(asked.networks),
        force_update=asked.force_update or 0,
        log_driver=LogDriver(name=driver.name, options=driver.options),
        priority=before.priority if priority is None else priority,
        depends_on=before.depends_on
        if asked.depends_on is None
        else tuple(
            _dependency(f"{_TASK}.DependsOn[{index}]", each)
            for index, each in enumerate(asked.depends_on)
        ),
    )


def write_task(task: TaskSpec, *, defaults: bool = False) -> TaskJson:
    """What tasks are made from, as Docker's clients read it."""
    driver = DriverJson(name=task.log_driver.name, options=ordered(task.log_driver.options))
    return TaskJson(
        container_spec=write_container(task.container),
        resources=write_resources(task),
        restart_policy=write_restart(task.restart, defaults=defaults),
        placement=write_placement(task.placement),
        networks=write_attachments(task.networks),
        log_driver=None if driver == DriverJson() else driver,
        force_update=task.force_update,
        priority=task.priority or None,
        depends_on=tuple(
            DependencyJson(service=each.service, condition=word(each.condition))
            for each in task.depends_on
        )
        or None,
    )


def _dependency(path: str, asked: DependencyJson) -> Dependency:
    condition = read_word(
        f"{path}.Condition", asked.condition, DependencyCondition, DependencyCondition.RUNNING
    )
    return Dependency(service=asked.service, condition=condition)
