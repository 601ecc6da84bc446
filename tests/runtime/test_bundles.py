"""Plans of OCI configs: what is planned, and what holds for all of them."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import constants as k
from runtime import steps as s
from runtime.oci.config import (
    Capabilities,
    Config,
    Hook,
    Hooks,
    IdMapping,
    Linux,
    Mount,
    Namespace,
    Process,
    Rlimit,
    Root,
    Seccomp,
    TimeOffset,
)
from runtime.plan import Extras, Place, Plan, make_plan, plan_exec
from swarm.errors import Invalid
from tests.runtime.specs import V1, V2

PLACE = Place(
    directory="/run/x", rootfs="/b/rootfs", bundle="/b", cgroup="a/x", layout=V1, last_capability=40
)
IDS = (IdMapping(container_id=0, host_id=5000, size=100),)
ALL = ("pid", "mount", "uts", "ipc", "network", "cgroup", "user", "time")


def config(*kinds: str | Namespace, mounts: Any = (), process: Any = None, **fields: Any) -> Config:
    namespaces = tuple(Namespace(type=x) if isinstance(x, str) else x for x in ("mount", *kinds))
    linux = Linux(namespaces=namespaces, uid_mappings=IDS, gid_mappings=IDS)
    return Config(
        oci_version="1.2.0",
        root=Root(path="rootfs"),
        process=msgspec.structs.replace(Process(args=("x",)), **(process or {})),
        mounts=tuple(mounts),
        linux=msgspec.structs.replace(linux, **fields.pop("linux", {})),
        **fields,
    )


def position(plan: Plan, kind: type) -> int:
    return next(i for i, step in enumerate(plan.container) if isinstance(step, kind))


def every(plan: Plan, kind: type) -> list[Any]:
    return [step for step in plan.container if isinstance(step, kind)]


def test_a_pid_namespace_costs_one_fork_unless_another_root_owns_it() -> None:
    plain = make_plan(config("pid"), PLACE)
    mapped = make_plan(config("pid", "user"), PLACE)

    assert (plain.clone, every(plain, s.Fork)) == (k.CLONE_NEWPID, [])
    assert (mapped.clone, every(mapped, s.Fork)) == (0, [s.Fork()])
    assert every(mapped, s.Unshare)[0].flags & k.CLONE_NEWPID


def test_a_joined_pid_namespace_has_only_children_in_it() -> None:
    plan = make_plan(config(Namespace(type="pid", path="/p")), PLACE)

    assert plan.clone == 0
    assert position(plan, s.EnterNamespaces) < position(plan, s.Fork)


def test_the_mount_namespace_is_the_last_that_is_joined() -> None:
    """Paths mean something else after it."""
    kinds = [Namespace(type=kind, path=f"/{kind}") for kind in ("network", "ipc")]
    wanted = config(*kinds, linux={"namespaces": (Namespace(type="mount", path="/m"), *kinds)})

    (entered,) = every(make_plan(wanted, PLACE), s.EnterNamespaces)

    assert [path for _, path in entered.paths] == ["/network", "/ipc", "/m"]


def test_clocks_are_set_before_anyone_can_read_them() -> None:
    plan = make_plan(
        config("time", linux={"time_offsets": {"boottime": TimeOffset(secs=5)}}), PLACE
    )

    assert every(plan, s.SetTimeOffsets) == [s.SetTimeOffsets(((7, 5, 0),))]
    assert position(plan, s.Unshare) < position(plan, s.SetTimeOffsets) < position(plan, s.Fork)


def test_without_a_mount_namespace_mounts_are_marked_and_released() -> None:
    plan = make_plan(config(linux={"namespaces": (Namespace(type="pid"),)}), PLACE)

    assert every(plan, s.AttachRootOnHost) == [s.AttachRootOnHost("/b/rootfs", "/run/x")]
    assert not every(plan, s.IsolateMounts) + every(plan, s.PivotRoot)
    assert s.ReleaseMounts("/run/x") in s.undo(plan.host)


def test_a_user_namespaces_root_cannot_mount_where_the_host_does() -> None:
    with pytest.raises(Invalid, match="user namespace"):
        make_plan(config(linux={"namespaces": (Namespace(type="user"),)}), PLACE)


def test_what_needs_the_hosts_root_is_opened_before_it_is_given_up() -> None:
    mounts = (Mount(destination="/sys", type="sysfs"), Mount(destination="/q", type="mqueue"))

    plan = make_plan(config("user", "ipc", mounts=mounts), PLACE)

    (opened,) = every(plan, s.OpenFilesystem)
    assert opened.filesystem.kind == "sysfs"  # the network is the host's; ipc is its own
    assert position(plan, s.OpenFilesystem) < position(plan, s.EnterUserNamespace)
    assert position(plan, s.EnterUserNamespace) < position(plan, s.Unshare)


def test_devices_are_bound_where_they_cannot_be_made() -> None:
    made, bound = make_plan(config(), PLACE), make_plan(config("user"), PLACE)

    assert every(made, s.MakeNode)
    assert not every(bound, s.MakeNode)
    assert "/dev/null" in [step.source for step in every(bound, s.OpenBind) if step.device]


def test_a_dev_of_the_hosts_is_left_alone() -> None:
    mount = Mount(destination="/dev", type="bind", source="/dev", options=("rbind",))

    plan = make_plan(config(mounts=(mount,)), PLACE)

    assert not every(plan, s.MakeNode) + every(plan, s.Link)


def test_parameters_of_joined_namespaces_are_for_the_hosts_root() -> None:
    joined = Namespace(type="network", path="/n")
    wanted = config(joined, "user", "ipc", linux={"sysctl": {"net.x": "1", "kernel.msgmax": "2"}})

    plan = make_plan(wanted, PLACE)

    places = {step.name: plan.container.index(step) for step in every(plan, s.WriteSysctl)}
    entered = position(plan, s.EnterUserNamespace)
    assert places["net.x"] < entered < places["kernel.msgmax"]


def test_hooks_see_the_host_and_the_mounts() -> None:
    hooks = Hooks(create_container=(Hook(path="/h"),), start_container=(Hook(path="/s"),))

    plan = make_plan(config(mounts=(Mount(destination="/m", type="tmpfs"),), hooks=hooks), PLACE)

    create, start = every(plan, s.RunHooks)
    order = [plan.container.index(create), position(plan, s.PivotRoot), plan.container.index(start)]
    assert position(plan, s.MountFilesystem) < position(plan, s.Announce) < order[0]
    assert order == sorted(order)
    assert position(plan, s.WaitAtGate) < order[2]


def test_nothing_but_capabilities_falls_after_a_filter() -> None:
    filter_ = Seccomp(default_action="SCMP_ACT_ALLOW")
    for no_new_privileges in (True, False):
        process = {"no_new_privileges": no_new_privileges}
        plan = make_plan(config(process=process, linux={"seccomp": filter_}), PLACE)

        after = plan.container[position(plan, s.LoadSeccomp) + 1 :]
        names = [s.name(step) for step in after]
        assert names == (["execute"] if no_new_privileges else ["set capabilities", "execute"])


def test_unlimited_is_unlimited() -> None:
    limits = (Rlimit(type="RLIMIT_CORE", soft=0, hard=2**64 - 1),)

    plan = make_plan(config(process={"rlimits": limits}), PLACE)

    assert every(plan, s.SetRlimit) == [s.SetRlimit("core", 4, 0, -1)]


def test_limits_have_a_sign_as_python_wants_them() -> None:
    limits = (Rlimit(type="RLIMIT_CORE", soft=2**63 - 1, hard=2**63),)

    plan = make_plan(config(process={"rlimits": limits}), PLACE)

    assert every(plan, s.SetRlimit) == [s.SetRlimit("core", 4, 2**63 - 1, -(2**63))]


def test_a_joining_program_enters_what_the_container_does_not_share() -> None:
    wanted = config("pid", "network")
    process = wanted.process or Process()

    outside = plan_exec(wanted, process, PLACE, pid=7)
    inside = plan_exec(wanted, process, PLACE, pid=1, fork=False)

    flags = k.CLONE_NEWPID | k.CLONE_NEWNET | k.CLONE_NEWNS
    assert every(outside, s.EnterContainer) == [s.EnterContainer(7, flags)]
    assert (len(every(outside, s.Fork)), every(inside, s.Fork)) == (1, [])
    assert outside.host == ()


paths = st.sampled_from(["/a", "/a/b", "/dev/x", "/sys/fs/cgroup"])
mounts = st.builds(
    Mount,
    destination=paths,
    type=st.sampled_from(["bind", "tmpfs", "cgroup", "sysfs", "mqueue"]),
    source=st.sampled_from(["/h", "below"]),
    options=st.lists(st.sampled_from(["ro", "rslave", "idmap", "tmpcopyup"]), max_size=2).map(
        tuple
    ),
)
namespaces = st.builds(Namespace, type=st.sampled_from(ALL), path=st.sampled_from(["", "/ns"]))
configs = st.builds(
    lambda kinds, mounts, terminal, caps: config(
        linux={"namespaces": (Namespace(type="mount"), *kinds)},
        mounts=mounts,
        process={"terminal": terminal, "capabilities": caps},
    ),
    st.lists(namespaces, max_size=5, unique_by=lambda each: each.type).map(
        lambda found: [each for each in found if each.type != "mount"]
    ),
    st.lists(mounts, max_size=5),
    st.booleans(),
    st.sampled_from([None, Capabilities(bounding=("CAP_KILL",))]),
)


@given(configs, st.sampled_from([V1, V2]))
def test_law_what_is_opened_is_attached_later_and_once(wanted: Config, layout: Any) -> None:
    plan = make_plan(wanted, msgspec.structs.replace(PLACE, layout=layout))

    opened = [x.number for x in plan.container if isinstance(x, s.OpenBind | s.OpenFilesystem)]
    attached = [x.number for x in plan.container if isinstance(x, s.AttachBind)]
    assert sorted(opened) == sorted(attached) == sorted(set(opened))
    last_opened = max(
        (i for i, x in enumerate(plan.container) if isinstance(x, s.OpenBind | s.OpenFilesystem)),
        default=0,
    )
    assert last_opened < min(
        (i for i, x in enumerate(plan.container) if isinstance(x, s.AttachBind)),
        default=len(plan.container),
    )


@given(configs, st.sampled_from([V1, V2]))
def test_law_every_mount_is_made_while_the_host_is_in_sight(wanted: Config, layout: Any) -> None:
    plan = make_plan(wanted, msgspec.structs.replace(PLACE, layout=layout))

    assert every(plan, s.PivotRoot) == [s.PivotRoot()]
    for i, step in enumerate(plan.container):
        if isinstance(
            step, s.MountFilesystem | s.AttachBind | s.MakeNode | s.Link | s.OpenTerminal
        ):
            assert position(plan, s.IsolateMounts) < i < position(plan, s.PivotRoot)


@given(configs)
def test_law_the_hosts_root_is_given_up_before_anything_is_mounted(wanted: Config) -> None:
    plan = make_plan(wanted, PLACE)

    kinds = [namespace.type for namespace in wanted.linux.namespaces] if wanted.linux else []
    assert ("user" in kinds) is bool(every(plan, s.EnterUserNamespace))
    if "user" in kinds:
        assert position(plan, s.EnterUserNamespace) < position(plan, s.IsolateMounts)
        assert position(plan, s.EnterUserNamespace) < position(plan, s.AttachRoot)


@given(configs)
def test_law_the_last_steps_are_those_that_give_rights_up(wanted: Config) -> None:
    plan = make_plan(wanted, PLACE, Extras())

    order = [s.PivotRoot, s.DropBounding, s.SetIdentity, s.SetCapabilities, s.Execute]
    places = [position(plan, kind) for kind in order]
    assert places == sorted(places)
    assert places[-1] == len(plan.container) - 1


def test_a_label_of_mounts_is_left_out_where_no_kernel_would_look_at_it() -> None:
    made = config(mounts=(Mount(destination="/t", type="tmpfs"),), linux={"mount_label": "a:b:c"})

    labelled = make_plan(made, PLACE)
    without = make_plan(made, msgspec.structs.replace(PLACE, labels=False))

    assert every(labelled, s.MountFilesystem)[0].filesystem.data == ("context=a:b:c",)
    assert every(without, s.MountFilesystem)[0].filesystem.data == ()
