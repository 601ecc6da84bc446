"""Builds that mean harm, or are cut short: clear errors, and nothing is left."""

import asyncio
import contextlib
import io
import os
import subprocess
import tarfile
from collections.abc import Generator
from pathlib import Path

import pytest
from msgspec import structs

from agent.rights import Fences
from runtime.oci.config import IdMapping
from runtime.spec import UserNamespace
from swarm.errors import Invalid, KernelRefused
from swarm.specs import Limits
from tests.kernel.builder import Builder, Hearing, tar, tell
from tests.kernel.machine import Machine

pytestmark = pytest.mark.kernel


def test_programs_without_end_are_an_error(machine: Machine) -> None:
    """Whatever they leave behind ends with the step."""

    async def story(builder: Builder) -> None:
        with pytest.raises(Invalid, match="returned a non-zero code"):
            await builder.build(
                "FROM busy:1\nRUN f() { f | f & }; f; i=0; "
                "while test $i -lt 200; do sleep 100 & i=$((i+1)); done; wait\n",
                limits=Limits(pids=32),
            )

    tell(machine, story)


def test_too_much_memory_is_an_error(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        with pytest.raises(Invalid) as caught:
            await builder.build(
                "FROM busy:1\nRUN dd if=/dev/zero of=/dev/null bs=64M count=1\n",
                limits=Limits(memory_bytes=16 << 20),
            )

        assert "returned a non-zero code: 137" in caught.value.message
        assert "memory" in caught.value.hint

    tell(machine, story)


@contextlib.contextmanager
def small_disk(place: Path, options: str) -> Generator[Path]:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_step_that_fills_the_disk_is_an_error_and_gives_it_back(
    machine: Machine, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", "size=48m") as disk:

        async def story(builder: Builder) -> None:
            free = os.statvfs(disk).f_bavail
            with pytest.raises((Invalid, KernelRefused)) as caught:
                await builder.build("FROM busy:1\nRUN yes > /full\n")
            assert "non-zero code" in caught.value.message or "disk" in caught.value.message
            with pytest.raises((Invalid, KernelRefused)) as caught:
                await builder.build(
                    "FROM busy:1\nCOPY a b c /x/\n", dict.fromkeys("abc", bytes(9 << 20))
                )
            assert "larger than the disk has room for" in caught.value.message or (
                "no space" in caught.value.message
            )
            await builder.check()
            assert os.statvfs(disk).f_bavail >= free - 16

        tell(machine, story, data=disk / "data")


@pytest.mark.parametrize(
    ("options", "count", "words"),
    [
        ("size=32m", 20_000, "the context is larger than the disk has room for"),
        ("nr_inodes=2000", 5000, "the context has more files than the disk has room for"),
    ],
)
def test_small_files_that_do_not_fit_are_refused_and_gone_when_that_is_told(
    machine: Machine, tmp_path: Path, options: str, count: int, words: str
) -> None:
    """Each takes a block and an inode, whatever its size."""
    context = tar({"Dockerfile": "FROM busy:1\n"} | {f"f{number}": "x" for number in range(count)})
    with small_disk(tmp_path / "disk", options) as disk:

        async def story(builder: Builder) -> None:
            free = os.statvfs(disk)
            with pytest.raises(Invalid, match=words):
                await builder.build(context=context)
            left = os.statvfs(disk)
            assert left.f_bavail >= free.f_bavail - 16
            assert left.f_favail >= free.f_favail - 16
            await builder.build("FROM busy:1\nCOPY a /a\n", {"a": "a"})

        tell(machine, story, data=disk / "data")


def test_a_caller_that_goes_away_takes_its_build_along(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        for text, words in (
            ("FROM busy:1\nRUN echo begun; sleep 100\n", "begun"),
            ("FROM busy:1\nRUN echo begun; trap '' TERM; yes > /dev/null\n", "begun"),
        ):
            heard = Hearing()
            building = asyncio.ensure_future(builder.build(text, hearing=heard))
            await heard.until(words)
            building.cancel()
            with pytest.raises(asyncio.CancelledError):
                await building
            await builder.check()

    tell(machine, story)


def test_a_context_that_breaks_off_leaves_nothing(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        whole = tar({"Dockerfile": "FROM busy:1\nCOPY a /a\n", "a": bytes(1 << 20)})

        with pytest.raises(Invalid, match=r"ends|whole"):
            await builder.build(context=whole[: 1 << 19])
        with pytest.raises(Invalid, match="Cannot locate specified Dockerfile: Dockerfile"):
            await builder.build(context=tar({"a": "b"}))

    tell(machine, story)


def test_a_context_may_hold_what_no_image_can_be_led_out_by(
    machine: Machine, tmp_path: Path
) -> None:
    """Links of the context and of the image lead within them, whatever they say."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")

    def poisoned() -> bytes:
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as archive:
            for name, target in (("up", "../" * 30 + str(outside)[1:]), ("abs", str(outside))):
                link = tarfile.TarInfo(name)
                link.type, link.linkname = tarfile.SYMTYPE, target
                archive.addfile(link)
            said = f"FROM busy:1\nRUN ln -s / /root-link; ln -s {outside} /out\n"
            text = f"{said}COPY through /out/\nCOPY through /out/new\n".encode()
            for name, content in (("Dockerfile", text), ("through", b"t"), ("abs/planted", b"p")):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return raw.getvalue()

    async def story(builder: Builder) -> None:
        await builder.build(context=poisoned(), tags=("made",))
        for link in ("up", "abs"):
            with pytest.raises(Invalid, match="not found"):
                await builder.build(f"FROM busy:1\nCOPY {link}/secret /x\n", context=None,
                                    files={link: f"-> {outside}"})  # fmt: skip

        assert sorted(each.name for each in outside.iterdir()) == ["secret"]
        inside = str(outside)[1:]
        assert await builder.read("made", f"{inside}/through") == "t"

    tell(machine, story)


POISONED: tuple[tuple[str, bytes, dict[str, object], str], ...] = (
    ("../../evil", tarfile.REGTYPE, {}, "leaves the archive"),
    ("dev", tarfile.CHRTYPE, {"devmajor": 1, "devminor": 5}, "is a device"),
    ("disk", tarfile.BLKTYPE, {"devmajor": 8, "devminor": 0}, "is a device"),
    ("hard", tarfile.LNKTYPE, {"linkname": "/etc/shadow"}, "hard link"),
    ("hard", tarfile.LNKTYPE, {"linkname": "../etc/shadow"}, "leaves the archive"),
    ("n" * 300, tarfile.REGTYPE, {}, "too long"),
    ("huge", tarfile.REGTYPE, {"size": 1 << 62}, "larger than the disk"),
)


def poisoned(name: str, kind: bytes, fields: dict[str, object]) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.type = kind
    for field, value in fields.items():
        setattr(entry, field, value)
    return entry.tobuf(tarfile.GNU_FORMAT) + tar({"Dockerfile": "FROM busy:1\n"})


def test_a_poisoned_context_is_refused(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        for name, kind, fields, words in POISONED:
            with pytest.raises(Invalid, match=words):
                await builder.build(context=poisoned(name, kind, fields))
            await builder.check()
        with pytest.raises(Invalid, match=r"not a whole tar archive|damaged|ends too early"):
            await builder.build(context=tar({"Dockerfile": "FROM busy:1\n"}, mode="w:gz")[:-20])

    tell(machine, story)


SPECIAL: tuple[tuple[bytes, dict[str, str]], ...] = (
    (tarfile.DIRTYPE, {}),
    (tarfile.FIFOTYPE, {}),
    (tarfile.SYMTYPE, {"linkname": "there"}),
    (tarfile.LNKTYPE, {"linkname": "pipe"}),
)


def test_what_is_to_be_read_has_to_be_a_file(machine: Machine) -> None:
    """A pipe is not waited for, and a loop of links has no end."""

    async def story(builder: Builder) -> None:
        for name in ("Dockerfile", ".dockerignore"):
            for kind, fields in SPECIAL:
                raw = io.BytesIO()
                with tarfile.open(fileobj=raw, mode="w") as archive:
                    for each, what, said in (
                        ("pipe", tarfile.FIFOTYPE, {}),
                        ("there", tarfile.SYMTYPE, {"linkname": name}),
                        ("Dockerfile", tarfile.REGTYPE, {}),
                        (name, kind, fields),
                    ):
                        entry = tarfile.TarInfo(each)
                        entry.type = what
                        for field, value in said.items():
                            setattr(entry, field, value)
                        archive.addfile(entry)
                with pytest.raises(Invalid, match=f"{name} is no regular file"):
                    await builder.build(context=raw.getvalue())

    tell(machine, story)


def test_a_context_with_a_very_deep_directory_goes_as_any_other(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        deep = {"Dockerfile": "FROM busy:1\nCOPY " + "d/" * 1500 + "f /f\n",
                "d/" * 1500 + "f": "found\n"}  # fmt: skip

        await builder.build(context=tar(deep), tags=("made",))

        assert await builder.read("made", "f") == "found\n"
        await builder.check()

    tell(machine, story)


def test_names_of_here_documents_are_no_paths(machine: Machine, tmp_path: Path) -> None:
    async def story(builder: Builder) -> None:
        climbing = "../" * 20 + str(tmp_path)[1:] + "/planted"
        await builder.build(f"FROM busy:1\nRUN <<'{climbing}'\n#!/bin/sh\ntrue\n{climbing}\n")
        await builder.build(
            f"FROM busy:1\nCOPY <<'{climbing}' /x/\nplanted\n{climbing}\n", tags=("made",)
        )
        for name in ("..", "."):
            with pytest.raises(Invalid, match="is no name for a file"):
                await builder.build(f"FROM busy:1\nCOPY <<'{name}' /\n{name}\n")

        assert not (tmp_path / "planted").exists()
        assert await builder.read("made", "x/planted") == "planted\n"

    tell(machine, story)


def test_names_that_are_no_text_are_copied_with_their_directory(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w", encoding="utf-8", errors="surrogateescape") as it:
            for name, text in (("Dockerfile", b"FROM busy:1\nCOPY d /d\nCOPY d/* /e/\n"),
                               (os.fsdecode(b"d/\xff"), b"x")):  # fmt: skip
                entry = tarfile.TarInfo(name)
                entry.size = len(text)
                it.addfile(entry, io.BytesIO(text))

        with pytest.raises(Invalid, match="not UTF-8"):
            await builder.build(context=raw.getvalue(), tags=("made",))

    tell(machine, story)


def test_hundreds_of_layers_are_one_image(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        lines = "".join(f"COPY <<{number} /f/\n{number}\n" for number in range(240))
        await builder.build(f"FROM busy:1\n{lines}RUN ls /f | wc -l\n", tags=("made",))

        assert len((await builder.rootfs("made")).layer_dirs) == 241

    tell(machine, story)


def test_a_node_with_remapped_ids_builds_the_same(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        mapping = (IdMapping(container_id=0, host_id=200_000, size=65536),)
        fences = Fences(user_namespace=UserNamespace(uids=mapping, gids=mapping))
        builder.node = structs.replace(builder.node, fences=fences)

        _, heard = await builder.build(
            "FROM busy:1\nCOPY --chown=7:8 a /a\n"
            "RUN ls -ln /a; touch /new; mkdir /d; chown 5:6 /new\n",
            {"a": "a"}, tags=("made",),
        )  # fmt: skip

        assert " 7        8 " in heard.all
        assert await builder.top("made") == ["d 755 0:0", "new 644 5:6"]

    tell(machine, story)
