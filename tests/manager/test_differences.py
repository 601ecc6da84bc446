from msgspec import structs

from manager.differences import FieldChange, field_changes
from swarm.specs import (
    Affinity,
    Autoscale,
    ContainerSpec,
    Dependency,
    DependencyCondition,
    Limits,
    Mount,
    Placement,
    Port,
    Replicated,
    ReplicatedJob,
    RestartCondition,
    RestartPolicy,
    Schedule,
    ServiceSpec,
    TaskSpec,
    UpdateOrder,
    UpdatePolicy,
)

WEB = ServiceSpec(
    name="web",
    labels={"tier": "front"},
    mode=Replicated(replicas=3),
    task=TaskSpec(
        container=ContainerSpec(image="app:1", env=("A=1", "B=2"), args=("serve", "a b")),
        placement=Placement(constraints=("node.role==worker",)),
    ),
)


def changes(after: ServiceSpec) -> list[tuple[str, str, str]]:
    return [(each.path, each.before, each.after) for each in field_changes(WEB, after)]


def with_task(**fields: object) -> ServiceSpec:
    return structs.replace(WEB, task=structs.replace(WEB.task, **fields))


def with_container(**fields: object) -> ServiceSpec:
    return with_task(container=structs.replace(WEB.task.container, **fields))


def test_equal_specs_differ_in_nothing() -> None:
    assert field_changes(WEB, structs.replace(WEB)) == ()


def test_a_field_is_told_with_both_values() -> None:
    scaled = structs.replace(WEB, mode=Replicated(replicas=5))

    assert changes(scaled) == [("replicated.replicas", "3", "5")]
    assert changes(with_container(image="app:2")) == [("task.container.image", "app:1", "app:2")]


def test_values_are_in_the_units_that_users_type() -> None:
    limits = Limits(cpu_millis=500, memory_bytes=512 << 20)
    restart = RestartPolicy(condition=RestartCondition.ON_FAILURE, delay_s=90.0)
    update = UpdatePolicy(order=UpdateOrder.START_FIRST)

    found = changes(structs.replace(with_task(limits=limits, restart=restart), update=update))

    assert found == [
        ("task.limits.cpu", "0", "0.5"),
        ("task.limits.memory", "0", "512m"),
        ("task.restart.condition", "any", "on-failure"),
        ("task.restart.delay", "5s", "1m30s"),
        ("update.order", "stop-first", "start-first"),
    ]


def test_what_has_a_name_is_told_by_it() -> None:
    found = changes(with_container(env=("A=9", "C=3")))

    assert found == [
        ("task.container.env[A]", "1", "9"),
        ("task.container.env[B]", "2", ""),
        ("task.container.env[C]", "", "3"),
    ]
    assert changes(structs.replace(WEB, labels={})) == [("labels[tier]", "front", "")]


def test_what_has_none_comes_and_goes() -> None:
    placement = Placement(constraints=("node.role==manager",), affinities=(Affinity(service="db"),))

    assert changes(with_task(placement=placement)) == [
        ("task.placement.constraints", "node.role==worker", ""),
        ("task.placement.constraints", "", "node.role==manager"),
        ("task.placement.affinities", "", "service==db"),
    ]


def test_words_of_a_command_are_one_value() -> None:
    assert changes(with_container(args=("serve",))) == [
        ("task.container.args", "serve 'a b'", "serve")
    ]


def test_mounts_ports_and_dependencies_read_like_their_flags() -> None:
    mounted = with_container(mounts=(Mount(source="data", target="/data", read_only=True),))
    waiting = with_task(
        depends_on=(Dependency(service="db", condition=DependencyCondition.HEALTHY),)
    )
    published = structs.replace(
        WEB, endpoint=structs.replace(WEB.endpoint, ports=(Port(target=80, published=8080),))
    )

    assert changes(mounted) == [
        ("task.container.mounts[/data]", "", "type=volume,source=data,read_only=true")
    ]
    assert changes(waiting) == [("task.depends_on[db]", "", "healthy")]
    assert changes(published) == [("endpoint.ports[80/tcp]", "", "published=8080,mode=ingress")]


def test_what_appears_whole_is_told_field_by_field() -> None:
    found = changes(structs.replace(WEB, autoscale=Autoscale(least=2, most=9, cpu_percent=60)))

    assert ("autoscale.least", "", "2") in found
    assert ("autoscale.cpu_percent", "", "60") in found
    assert all(before == "" for _, before, _ in found)


def test_of_a_new_service_only_what_is_not_usual_is_told() -> None:
    job = ServiceSpec(
        name="sum", mode=ReplicatedJob(total=4), schedule=Schedule(expression="@daily")
    )

    assert [each.path for each in field_changes(None, WEB)] == [
        "mode",
        "replicated.replicas",
        "name",
        "labels[tier]",
        "task.container.image",
        "task.container.args",
        "task.container.env[A]",
        "task.container.env[B]",
        "task.placement.constraints",
    ]
    assert FieldChange("job.total", "", "4") in field_changes(None, job)
    assert FieldChange("schedule.expression", "", "@daily") in field_changes(None, job)


def test_long_values_are_cut() -> None:
    (change,) = field_changes(WEB, with_container(seccomp="x" * 5000))

    assert change.after == "x" * 100 + "… (5000 characters)"
