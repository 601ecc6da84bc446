"""Every option that a mount of an OCI config may have, as the kernel then shows it."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from runtime.io.spawning import Stdio, spawn
from runtime.oci.config import IdMapping, Mount, Namespace, Root
from runtime.plan import Extras, make_plan
from swarm.errors import KernelRefused
from tests.kernel.spawned import MAPPED, NEW, Bundle, config

pytestmark = pytest.mark.kernel


def shown(bundle: Bundle, *mounts: Mount, at: str = "/m") -> list[str]:
    """What /proc/self/mountinfo says of the mount at `at`: options, propagation, and the rest."""
    _, output = bundle.run(config("cat", "/proc/self/mountinfo", mounts=mounts))
    line = next(line for line in output.splitlines() if line.split()[4] == at)
    return line.split()[5:]


def bind(bundle: Bundle, *options: str, source: str = "") -> Mount:
    (bundle.base / "source").mkdir(exist_ok=True)
    origin = source or str(bundle.base / "source")
    return Mount(destination="/m", type="bind", source=origin, options=("bind", *options))


@pytest.mark.parametrize(
    ("option", "seen"),
    [
        ("ro", "ro"), ("nosuid", "nosuid"), ("nodev", "nodev"), ("noexec", "noexec"),
        ("noatime", "noatime"), ("relatime", "relatime"), ("nodiratime", "nodiratime"),
        ("nosymfollow", "nosymfollow"), ("rro", "ro"), ("rnosuid", "nosuid"),
        ("rnodev", "nodev"), ("rnoexec", "noexec"), ("rnoatime", "noatime"),
    ],
)  # fmt: skip
def test_a_bind_has_the_options_that_are_asked(bundle: Bundle, option: str, seen: str) -> None:
    assert seen in shown(bundle, bind(bundle, option))[0].split(",")


@pytest.mark.parametrize(
    ("first", "second", "gone"),
    [
        ("ro", "rw", "ro"), ("nosuid", "suid", "nosuid"), ("nodev", "dev", "nodev"),
        ("noexec", "exec", "noexec"), ("noatime", "atime", "noatime"), ("rro", "rrw", "ro"),
    ],
)  # fmt: skip
def test_the_last_of_two_options_counts(bundle: Bundle, first: str, second: str, gone: str) -> None:
    assert gone not in shown(bundle, bind(bundle, first, second))[0].split(",")


def test_strictatime_is_neither_of_the_others(bundle: Bundle) -> None:
    options = shown(bundle, bind(bundle, "strictatime"))[0].split(",")

    assert not {"relatime", "noatime"} & set(options)


@pytest.mark.parametrize(
    ("option", "seen"),
    [("shared", "shared:"), ("private", "-"), ("unbindable", "unbindable"), ("rprivate", "-")],
)
def test_a_bind_is_shared_with_whom_it_says(bundle: Bundle, option: str, seen: str) -> None:
    assert shown(bundle, bind(bundle, option))[1].startswith(seen)


def test_recursive_options_reach_what_is_below_and_others_do_not(bundle: Bundle) -> None:
    source = bundle.base / "source"
    (source / "below").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "below", str(source / "below")], check=True)
    script = "touch /m/f 2>/dev/null || echo no; touch /m/below/f 2>/dev/null || echo no below"
    try:
        answers = [
            bundle.run(config("sh", "-c", script, mounts=(bind(bundle, *options),)))[1]
            for options in (("rbind", "ro"), ("rbind", "rro"), ("ro",))
        ]
    finally:
        subprocess.run(["umount", str(source / "below")], check=True)

    assert answers == ["no\n", "no\nno below\n", "no\nno below\n"]


def test_a_tmpfs_has_its_own_options(bundle: Bundle) -> None:
    mount = Mount(
        destination="/m", type="tmpfs", source="mine",
        options=("nosuid", "size=64k", "mode=0700", "nr_inodes=77"),
    )  # fmt: skip

    options, *_, kind, source, own = shown(bundle, mount)

    assert (kind, source) == ("tmpfs", "mine")
    assert "nosuid" in options
    assert {"size=64k", "mode=700", "nr_inodes=77"} <= set(own.split(","))


def test_a_tmpfs_turns_read_only_when_all_below_it_is_there(bundle: Bundle) -> None:
    mounts = (
        Mount(destination="/m", type="tmpfs", options=("ro",)),
        Mount(destination="/m/a/b", type="tmpfs"),
    )

    _, output = bundle.run(
        config(
            "sh",
            "-c",
            "touch /m/f 2>&- || echo no; touch /m/a/b/f && ls /m/a/b",
            mounts=mounts,
        )
    )

    assert output.split() == ["no", "f"]


def test_tmpcopyup_begins_with_what_the_image_has(bundle: Bundle) -> None:
    mount = Mount(destination="/data", type="tmpfs", options=("tmpcopyup",))

    _, output = bundle.run(
        config(
            "sh",
            "-c",
            "cat /data/inner/file; touch /data/new; stat -c %u /data/inner/file",
            mounts=(mount,),
        )
    )

    assert output == "from the image\n1000\n"
    assert not (bundle.rootfs / "data/new").exists()


def test_an_unknown_option_is_refused_in_the_file_systems_words(bundle: Bundle) -> None:
    mount = Mount(destination="/m", type="tmpfs", options=("nonsense=1",))

    with pytest.raises(KernelRefused) as err:
        bundle.run(config("true", mounts=(mount,)))

    assert err.value.step == "mount filesystem"
    assert "nonsense" in err.value.message


def test_a_file_is_bound_on_a_file_that_is_made(bundle: Bundle) -> None:
    (bundle.base / "note").write_text("note\n")
    mount = Mount(destination="/new/place", source="note", options=("bind", "ro"))

    _, output = bundle.run(config("cat", "/new/place", mounts=(mount,)))

    assert output == "note\n"


def test_a_directory_on_a_file_is_refused_with_a_hint(bundle: Bundle) -> None:
    mount = Mount(destination="/etc/passwd", type="bind", source="/tmp", options=("bind",))

    with pytest.raises(KernelRefused) as err:
        bundle.run(config("true", mounts=(mount,)))

    assert "directory" in err.value.hint


def test_a_relative_source_is_the_bundles(bundle: Bundle) -> None:
    (bundle.base / "here").mkdir()
    (bundle.base / "here/mark").touch()

    _, output = bundle.run(
        config("ls", "/m", mounts=(Mount(destination="/m", source="here", options=("rbind",)),))
    )

    assert output == "mark\n"


def test_a_mount_may_show_other_ids(bundle: Bundle) -> None:
    (bundle.base / "source").mkdir()
    (bundle.base / "source/f").touch()
    shifted = (IdMapping(container_id=0, host_id=5000, size=100),)
    mount = Mount(
        destination="/m", type="bind", source=str(bundle.base / "source"),
        options=("bind", "idmap"),
        uid_mappings=shifted, gid_mappings=shifted,
    )  # fmt: skip

    _, output = bundle.run(config("stat", "-c", "%u:%g", "/m/f", mounts=(mount,)))

    assert output == "5000:5000\n"


def test_idmap_without_ids_of_its_own_needs_a_user_namespace(bundle: Bundle) -> None:
    with pytest.raises(KernelRefused, match="no user namespace"):
        bundle.run(config("true", mounts=(bind(bundle, "idmap"),)))


def test_idmap_means_the_containers_own_ids(bundle: Bundle) -> None:
    bundle.own_by(100_000)
    wanted = config(
        "sh", "-c", "stat -c %u /m; touch /m/f", mounts=(bind(bundle, "ridmap"),),
        namespaces=(*NEW, "user"), linux={"uid_mappings": MAPPED, "gid_mappings": MAPPED},
    )  # fmt: skip

    _, output = bundle.run(wanted)

    assert output == "0\n"
    assert (bundle.base / "source/f").stat().st_uid == 0


@pytest.mark.parametrize(
    ("asked", "seen"),
    [("", "-"), ("private", "-"), ("shared", "shared:"), ("unbindable", "unbind")],
)
def test_the_root_is_shared_as_it_says(bundle: Bundle, asked: str, seen: str) -> None:
    subprocess.run(["mount", "--bind", str(bundle.rootfs), str(bundle.rootfs)], check=True)
    subprocess.run(["mount", "--make-private", str(bundle.rootfs)], check=True)
    try:
        _, output = bundle.run(
            config("cat", "/proc/self/mountinfo", linux={"rootfs_propagation": asked})
        )
    finally:
        subprocess.run(["umount", str(bundle.rootfs)], check=True)

    root = next(line.split() for line in output.splitlines() if line.split()[4] == "/")
    assert root[6].startswith(seen)


def test_a_slave_root_sees_later_mounts_of_the_host(bundle: Bundle) -> None:
    subprocess.run(["mount", "--bind", str(bundle.rootfs), str(bundle.rootfs)], check=True)
    subprocess.run(["mount", "--make-shared", str(bundle.rootfs)], check=True)
    wanted = config("sleep", "99", linux={"rootfs_propagation": "rslave"})
    try:
        with bundle.spawned(wanted) as (made, _):
            subprocess.run(["mount", "-t", "tmpfs", "x", str(bundle.rootfs / "tmp")], check=True)
            (bundle.rootfs / "tmp/mark").touch()
            _, output = bundle.join(wanted, made.pid, "ls", "/tmp")
            subprocess.run(["umount", str(bundle.rootfs / "tmp")], check=True)
    finally:
        subprocess.run(["umount", "-l", str(bundle.rootfs)], check=True)

    assert output == "mark\n"


def test_a_read_only_root_keeps_its_mounts_writable(bundle: Bundle) -> None:
    wanted = config(
        "sh", "-c", "touch /f 2>/dev/null || echo no; touch /dev/shm/f && echo yes",
        root=Root(path="rootfs", readonly=True), process={"cwd": "/made"},
    )  # fmt: skip

    assert bundle.run(wanted)[1].split() == ["no", "yes"]


def test_masked_and_read_only_paths_are(bundle: Bundle) -> None:
    wanted = config(
        "sh", "-c",
        "wc -c < /etc/passwd; ls /data; touch /tmp/f 2>&- || echo no; busybox true && echo runs",
        linux={
            "masked_paths": ("/etc/passwd", "/data", "/none"),
            "readonly_paths": ("/tmp", "/bin", "/none"),
        },
    )  # fmt: skip

    assert bundle.run(wanted)[1].split() == ["0", "no", "runs"]


def test_without_a_view_of_its_own_a_container_sees_only_its_groups_of_v1(bundle: Bundle) -> None:
    kinds = tuple(kind for kind in NEW if kind != "cgroup")

    _, output = bundle.run(
        config(
            "sh",
            "-c",
            "cd /sys/fs/cgroup; for x in pids .; do wc -l < $x/cgroup.procs; done 2>/dev/null",
            namespaces=kinds,
        )
    )

    is_whole = int(output.split()[0]) > 3
    assert is_whole is not bool(bundle.place.layout.v1)  # v2's tree is the host's, as under runc


def test_the_old_way_of_changing_roots_leaves_no_way_back(bundle: Bundle) -> None:
    code, output = bundle.run(
        config("sh", "-c", "ls /; cat /proc/self/mountinfo | wc -l; cd ../../..; ls"),
        Extras(no_pivot=True),
    )

    assert code == 0
    assert "rootfs" not in output


def test_mounts_are_made_in_a_namespace_that_exists(bundle: Bundle) -> None:
    holder = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", "echo; exec sleep 99"], stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    try:
        with holder.stdout as told:
            told.readline()
        theirs = f"/proc/{holder.pid}/ns/mnt"
        kinds = (Namespace(type="mount", path=theirs), *(kind for kind in NEW if kind != "mount"))
        _, output = bundle.run(config("readlink", "/proc/self/ns/mnt", namespaces=kinds))
        assert output.strip() == str(Path(theirs).readlink())
    finally:
        holder.kill()
        holder.wait()


def test_a_long_option_is_no_hindrance(bundle: Bundle) -> None:
    """fsconfig(2) takes values of at most 255 bytes."""
    layers = [bundle.base / ("x" * 90 + str(number)) for number in range(4)]
    for layer in layers:
        layer.mkdir()
        (layer / layer.name[-1]).touch()
    lower = ":".join(str(layer) for layer in layers)
    mount = Mount(
        destination="/m", type="overlay", source="overlay", options=(f"lowerdir={lower}",)
    )

    assert bundle.run(config("ls", "/m", mounts=(mount,)))[1].split() == ["0", "1", "2", "3"]


def test_a_mount_label_that_the_kernel_cannot_give_is_refused(bundle: Bundle) -> None:
    if Path("/sys/fs/selinux").exists():
        pytest.skip("this kernel has SELinux")

    with pytest.raises(KernelRefused) as err:
        bundle.run(config("true", linux={"mount_label": "system_u:object_r:container_file_t:s0"}))

    assert "SELinux" in err.value.hint


def test_mounts_are_listed_in_the_order_of_the_config(bundle: Bundle) -> None:
    mounts = (
        bind(bundle, "shared"),
        Mount(destination="/a", type="tmpfs"),
        Mount(destination="/b", type="bind", source="/etc", options=("rbind", "rslave")),
        Mount(destination="/c", type="tmpfs"),
        Mount(destination="/d", type="bind", source="/etc", options=("bind", "unbindable")),
    )

    _, output = bundle.run(config("cat", "/proc/self/mountinfo", mounts=mounts))

    targets = [line.split()[4] for line in output.splitlines()]
    assert [each for each in targets if each in ("/m", "/a", "/b", "/c", "/d")] == [
        "/m", "/a", "/b", "/c", "/d",
    ]  # fmt: skip


def test_without_a_mount_namespace_the_hosts_mounts_are_as_before_afterwards(
    bundle: Bundle,
) -> None:
    before = mounts(bundle)
    kinds = tuple(kind for kind in NEW if kind != "mount")
    wanted = config("sleep", "99", namespaces=kinds, linux={"masked_paths": ("/proc/keys",)})

    with bundle.spawned(wanted) as (made, _):
        theirs = Path(f"/proc/{made.pid}/ns/mnt").readlink()
        _, output = bundle.join(wanted, made.pid, "sh", "-c", "ls /; wc -c < /proc/keys")
        root = Path(f"/proc/{made.pid}/root").readlink()

    assert theirs == Path("/proc/self/ns/mnt").readlink()
    assert root == bundle.rootfs
    assert {"data", "bin"} <= set(output.split())
    assert "home" not in output.split()
    assert output.split()[-1] == "0"
    assert (bundle.rootfs / "bin/busybox").exists()
    assert mounts(bundle) == before


def mounts(bundle: Bundle) -> list[str]:
    """What is mounted on this host, but for what tests beside this one mount meanwhile."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    places = [line.split()[4] for line in lines]
    of_tests = (f"{tempfile.gettempdir()}/", "/run/")
    own = str(bundle.base)
    return [each for each in places if each.startswith(own) or not each.startswith(of_tests)]


def test_mounts_that_a_crash_left_are_released_and_no_others(bundle: Bundle) -> None:
    kinds = tuple(kind for kind in NEW if kind != "mount")
    wanted = config("true", namespaces=kinds)
    subprocess.run(["mount", "--bind", str(bundle.rootfs), str(bundle.rootfs)], check=True)
    try:
        plan = make_plan(wanted, bundle.place)
        os.waitpid(spawn(plan, Stdio()).pid, 0)
        left = [line for line in bundle.leaks() if str(bundle.rootfs) in line]
        bundle.clean(wanted, Extras())
        bundle.clean(wanted, Extras())
        kept = [line for line in bundle.leaks() if str(bundle.rootfs) in line]
    finally:
        subprocess.run(["umount", str(bundle.rootfs)], check=True)

    assert len(left) > 5
    assert len(kept) == 1
