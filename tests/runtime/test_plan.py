from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from runtime import constants as k
from runtime import steps as s
from runtime.oci.config import IdMapping
from runtime.plan import Plan
from runtime.spec import (
    ContainerSpec,
    File,
    Mount,
    MountKind,
    Propagation,
    Resources,
    Rlimit,
    UserNamespace,
)
from runtime.translation import to_plan
from tests.runtime.specs import V1, V2, make_spec

IDS = (IdMapping(container_id=0, host_id=100_000, size=65_536),)
NOBODYS = UserNamespace(uids=IDS, gids=IDS)


def plan_of(spec: ContainerSpec, layout: Any = V1) -> Plan:
    return to_plan(spec, layout=layout, directory="/run/c/t1", last_capability=40)


def position(plan: Plan, kind: type) -> int:
    return next(i for i, step in enumerate(plan.container) if isinstance(step, kind))


def every(plan: Plan, kind: type) -> list[Any]:
    steps = (*plan.first, *plan.host, *plan.container)
    return [step for step in steps if isinstance(step, kind)]


def test_a_plain_container_is_planned_step_by_step() -> None:
    plan = plan_of(make_spec(masked_paths=("/proc/kcore",), readonly_paths=("/proc/sys",)))

    assert [s.name(step) for step in plan.container if not isinstance(step, s.JoinCgroup)] == [
        "set oom score", "open proc", "unshare", "loopback up", "isolate mounts", "mount overlay",
        *["mount filesystem"] * 8, "link", "link", *["mount filesystem"] * 3, "set attributes",
        *["make node"] * 6, *["link"] * 6,
        "announce", "pivot root", "write sysctl", "write sysctl", "mask path", "protect path",
        "make workdir",
        "join keyring", "drop bounding", "set umask", "find user", "set identity",
        "set capabilities", "no new privileges", "wait at gate", "execute",
    ]  # fmt: skip
    assert plan.clone == k.CLONE_NEWPID
    assert plan.host[:4] == (
        s.MakeDir("/c/t1", 0o700, owned=False),
        s.MakeDir("/c/t1/up"),
        s.MakeDir("/c/t1/wk"),
        s.MakeDir("/run/c/t1/rootfs"),
    )


def test_a_container_takes_part_only_in_groups_that_it_needs() -> None:
    free = every(plan_of(make_spec()), s.JoinCgroup)
    pinned = every(plan_of(make_spec(resources=Resources(cpuset_cpus="0"))), s.JoinCgroup)

    assert [step.path for step in free] == [
        "/cg/cpu,cpuacct/swarmd/t1", "/cg/devices/swarmd/t1", "/cg/memory/swarmd/t1",
        "/cg/pids/swarmd/t1",
    ]  # fmt: skip
    assert [step.path for step in pinned if step not in free] == ["/cg/cpuset/swarmd/t1"]


def test_on_cgroup_v2_one_group_is_joined_and_devices_are_filtered() -> None:
    plan = plan_of(make_spec(), V2)

    assert every(plan, s.JoinCgroup) == [s.JoinCgroup("/cg/swarmd/t1")]
    assert [step.path for step in every(plan, s.FilterDevices)] == ["/cg/swarmd/t1"]


def test_the_host_network_is_not_unshared_and_its_parameters_stay() -> None:
    own, host = plan_of(make_spec()), plan_of(make_spec(host_network=True))

    assert every(own, s.Unshare)[0].flags & k.CLONE_NEWNET
    assert not every(host, s.Unshare)[0].flags & k.CLONE_NEWNET
    assert every(host, s.WriteSysctl) == every(host, s.LoopbackUp) == []


def test_a_given_network_namespace_is_entered_instead_of_made() -> None:
    plan = plan_of(make_spec(network_namespace="/run/netns/x"))

    assert every(plan, s.EnterNamespaces) == [
        s.EnterNamespaces(((k.CLONE_NEWNET, "/run/netns/x"),))
    ]
    assert not every(plan, s.Unshare)[0].flags & k.CLONE_NEWNET


def test_a_network_is_offered_before_all_else_and_awaited_after_all_that_needs_none() -> None:
    plan = plan_of(make_spec(awaits_network=True))

    assert plan.first == (s.Unshare(k.CLONE_NEWNET), s.LoopbackUp(), s.OfferNetwork())
    assert [each.flags & k.CLONE_NEWNET for each in every(plan, s.Unshare)] == [k.CLONE_NEWNET, 0]
    awaited = position(plan, s.AwaitNetwork)
    assert isinstance(plan.container[awaited - 1], s.PivotRoot)
    assert isinstance(plan.container[awaited + 1], s.WriteSysctl)


def test_a_network_in_a_user_namespace_is_offered_once_that_is_entered() -> None:
    plan = plan_of(make_spec(awaits_network=True, user_namespace=NOBODYS))

    assert plan.first == ()
    order = [s.EnterUserNamespace, s.Unshare, s.Fork, s.LoopbackUp, s.OfferNetwork, s.AttachRoot]
    places = [position(plan, kind) for kind in order]
    assert places == sorted(places)


def test_a_network_that_nobody_connects_is_neither_offered_nor_awaited() -> None:
    plan = plan_of(make_spec())

    assert plan.first == ()
    assert every(plan, s.OfferNetwork) == every(plan, s.AwaitNetwork) == []


def test_binds_are_opened_before_the_host_is_gone_and_attached_after() -> None:
    mounts = (Mount(source="/h/a", target="/a", propagation=Propagation.RSHARED),)

    plan = plan_of(make_spec(mounts=mounts))

    assert position(plan, s.OpenBind) < position(plan, s.IsolateMounts)
    assert position(plan, s.MountOverlay) < position(plan, s.AttachBind)
    assert position(plan, s.AttachBind) < position(plan, s.PivotRoot)
    assert every(plan, s.OpenBind)[0].propagation == (k.MS_SHARED | k.MS_REC,)


def test_a_volume_is_filled_before_it_is_opened() -> None:
    """The filled directory replaces the empty one, so opening it earlier would open the old."""
    mounts = (Mount(source="/v/data/", target="/data", copy_up=True),)

    plan = plan_of(make_spec(mounts=mounts))

    copied, opened = position(plan, s.CopyUp), position(plan, s.OpenBind)
    assert position(plan, s.MountOverlay) < copied < opened < position(plan, s.PivotRoot)
    assert s.MakeDir("/v/data.filling-t1") in plan.host


def test_a_mount_below_another_comes_after_it() -> None:
    mounts = (
        Mount(source="/h/1", target="/a/b/c"),
        Mount(kind=MountKind.TMPFS, target="/a"),
        Mount(source="/h/2", target="/a/b"),
    )

    steps = plan_of(make_spec(mounts=mounts)).container

    targets = [step.target for step in steps if isinstance(step, s.AttachBind | s.MountFilesystem)]
    assert [target for target in targets if target.startswith("/a")] == ["/a", "/a/b", "/a/b/c"]


def test_a_mount_over_a_file_of_ours_wins() -> None:
    spec = make_spec(
        files=(File(path="/etc/hosts", content="x"), File(path="/etc/hostname", content="y")),
        mounts=(Mount(source="/h/hosts", target="/etc/hosts"),),
    )

    sources = [step.source for step in every(plan_of(spec), s.OpenBind)]

    assert sources == ["/h/hosts", "/run/c/t1/files/1"]


def test_parameters_are_set_before_they_turn_read_only() -> None:
    plan = plan_of(make_spec(sysctls={"kernel.msgmax": "1"}, read_only_rootfs=True))

    assert position(plan, s.WriteSysctl) < position(plan, s.ProtectPath)
    last = [step for step in plan.container if isinstance(step, s.SetAttributes)][-1]
    assert last == s.SetAttributes("/", s.Attributes(set=k.MOUNT_ATTR_RDONLY))
    assert position(plan, s.MakeWorkdir) < plan.container.index(last)


def test_rights_fall_last_and_in_an_order_that_needs_them() -> None:
    plan = plan_of(make_spec(capabilities=("CAP_CHOWN", "CAP_KILL")))

    order = [s.DropBounding, s.SetIdentity, s.SetCapabilities, s.NoNewPrivileges, s.Execute]
    places = [position(plan, kind) for kind in order]
    assert places == sorted(places)
    assert places[-1] == len(plan.container) - 1
    assert every(plan, s.SetCapabilities) == [s.SetCapabilities(0b100001, 0b100001, 0, 0)]
    assert set(every(plan, s.DropBounding)[0].numbers) == set(range(41)) - {0, 5}


def test_a_capability_that_this_kernel_does_not_know_is_not_asked_for() -> None:
    spec = make_spec(capabilities=("CAP_CHOWN", "CAP_CHECKPOINT_RESTORE"))

    plan = to_plan(spec, layout=V1, directory="/d", last_capability=37)

    assert every(plan, s.SetCapabilities) == [s.SetCapabilities(1, 1, 0, 0)]


def test_limits_of_the_process_are_set_while_we_may() -> None:
    spec = make_spec(rlimits=(Rlimit(name="nofile", soft=1, hard=2),), oom_score_adj=-5)

    plan = plan_of(spec)

    assert every(plan, s.SetRlimit) == [s.SetRlimit("nofile", 7, 1, 2)]
    assert position(plan, s.SetOomScore) < position(plan, s.Unshare)
    assert position(plan, s.SetRlimit) < position(plan, s.SetIdentity)


paths = st.sampled_from(["/a", "/a/b", "/c", "/c/d/e", "/etc/hosts"])
specs = st.builds(
    make_spec,
    hostname=st.sampled_from(["", "h"]),
    host_network=st.booleans(),
    read_only_rootfs=st.booleans(),
    init=st.booleans(),
    mounts=st.lists(
        st.builds(
            Mount,
            source=st.just("/h/x"),
            target=paths,
            copy_up=st.booleans(),
            read_only=st.booleans(),
        ),
        max_size=4,
    ).map(tuple),
    files=st.lists(st.builds(File, path=paths, content=st.just("")), max_size=3).map(tuple),
    resources=st.sampled_from([Resources(), Resources(cpu_millis=10, cpuset_cpus="0")]),
)


@given(specs, st.sampled_from([V1, V2]))
def test_law_everything_opened_is_attached_once_and_in_this_order(spec: Any, layout: Any) -> None:
    plan = plan_of(spec, layout)

    opened = [step.number for step in plan.container if isinstance(step, s.OpenBind)]
    attached = [step.number for step in plan.container if isinstance(step, s.AttachBind)]
    assert sorted(opened) == sorted(attached)
    assert len(set(opened)) == len(opened)
    for number in opened:
        steps = [getattr(step, "number", None) for step in plan.container]
        assert steps.index(number) < len(steps) - 1 - steps[::-1].index(number)


@given(specs, st.sampled_from([V1, V2]))
def test_law_whatever_the_host_gains_an_undo_removes(spec: Any, layout: Any) -> None:
    """Every directory and group lies in something that an undo takes away, parents last."""
    plan = plan_of(spec, layout)

    undos = s.undo(plan.host)

    removed = [undo.path for undo in undos]
    for step in plan.host:
        if isinstance(step, s.MakeDir | s.MakeCgroup):
            assert step.path in removed
        else:
            path = step.path
            in_hierarchy_root = path.count("/") == 2 and layout is V2
            assert in_hierarchy_root or any(path.startswith(f"{each}/") for each in removed)
    for early, undo in enumerate(undos):
        assert not any(each.path.startswith(f"{undo.path}/") for each in undos[early + 1 :])


@given(specs, st.booleans())
def test_law_a_network_is_connected_between_its_making_and_all_that_needs_it(
    spec: Any, is_mapped: bool
) -> None:
    spec = msgspec.structs.replace(
        spec,
        host_network=False,
        awaits_network=True,
        sysctls={"net.ipv4.conf.eth0.forwarding": "1"},
        user_namespace=NOBODYS if is_mapped else None,
    )
    plan = plan_of(spec)

    steps = (*plan.first, *plan.container)
    [made] = [
        number
        for number, step in enumerate(steps)
        if isinstance(step, s.Unshare) and step.flags & k.CLONE_NEWNET
    ]
    kinds = [type(step) for step in steps]
    for kind in (s.LoopbackUp, s.OfferNetwork, s.AwaitNetwork):
        assert kinds.count(kind) == 1
    order = (s.LoopbackUp, s.OfferNetwork, s.AwaitNetwork, s.WriteSysctl, s.DropBounding, s.Execute)
    places = [made, *(kinds.index(kind) for kind in order)]
    assert places == sorted(places)
    for kind in (s.Fork, s.EnterUserNamespace):  # whoever is offered it has to be process 1
        assert kind not in kinds or kinds.index(kind) < kinds.index(s.OfferNetwork)


@given(specs)
def test_law_no_undo_of_a_container_touches_what_others_share(spec: Any) -> None:
    undos = s.undo(s.own(plan_of(spec).host))

    assert not [undo for undo in undos if isinstance(undo, s.RemoveCgroup) and undo.shared]
    assert all("t1" in undo.path for undo in undos)


@given(specs)
def test_law_a_spec_survives_the_wire(spec: Any) -> None:
    assert msgspec.json.decode(msgspec.json.encode(spec), type=ContainerSpec) == spec
