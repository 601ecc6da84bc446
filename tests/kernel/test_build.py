"""Builds on the real kernel: steps, files, programs, and what becomes of images."""

import asyncio
import contextlib
import functools
import http.server
import io
import os
import tarfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from swarm.errors import Invalid, KernelRefused, Missing, Refused, Unavailable
from swarm.specs import Limits
from tests.kernel.builder import Builder, Hearing, tar
from tests.kernel.machine import Machine

pytestmark = pytest.mark.kernel

Story = Callable[[Builder], Awaitable[None]]


def run(machine: Machine, story: Story, **options: object) -> None:
    """Tell `story` with a builder that has `busy:1`; it must leave nothing but images."""

    async def whole() -> None:
        builder = Builder(machine, **options)  # type: ignore[arg-type]
        try:
            await builder.load_base()
            await story(builder)
            builder.check()
        finally:
            await builder.close()

    asyncio.run(whole())


def test_a_build_is_told_in_docker_s_words(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        image_id, heard = await builder.build(
            "ARG TAG=1\nFROM busy:${TAG}\nARG WHO=x\nRUN echo $WHO\nCMD [\"sh\"]\n",
            tags=("made", "other:2"), args={"WHO": "me", "NOPE": "1"}, labels={"a": "b"},
        )  # fmt: skip

        lines = heard.all.splitlines()
        assert lines[0] == "Step 1/6 : ARG TAG=1"
        assert lines[1:3] == ["Step 2/6 : FROM busy:${TAG}", f" ---> {lines[2][6:]}"]
        assert lines[5] == "Step 4/6 : RUN echo $WHO"
        assert lines[6].startswith(" ---> Running in ")
        assert lines[7] == "me"
        assert lines[8] == f"Removing intermediate container {lines[6][-12:]}"
        assert lines[-4:] == [
            "[Warning] One or more build-args [NOPE] were not consumed",
            f"Successfully built {image_id[7:19]}",
            "Successfully tagged made:latest",
            "Successfully tagged other:2",
        ]
        assert builder.config("made")["config"]["Labels"] == {"a": "b"}

    run(machine, story)


def test_the_same_build_is_the_same_image_and_runs_nothing(machine: Machine) -> None:
    """1. All of it is done. 2. Nothing is. 3. A file differs: all from there on is done."""

    async def story(builder: Builder) -> None:
        text = "FROM busy:1\nRUN echo once > /made\nCOPY a /a\nRUN cat /a\nENV X=1\n"

        first, _ = await builder.build(text, {"a": "1"})
        again, heard = await builder.build(text, {"a": "1"})
        other, partly = await builder.build(text, {"a": "2"})
        fresh, anew = await builder.build(text, {"a": "1"}, no_cache=True)

        assert again == first
        assert heard.all.count("Using cache") == 4
        assert "Running" not in heard.all
        assert other != first
        assert partly.all.count("Using cache") == 1
        assert fresh != first
        assert anew.all.count("Running") == 2

    run(machine, story)


def test_a_missing_layer_is_a_cache_miss(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        text = "FROM busy:1\nRUN echo once > /made\n"
        first, _ = await builder.build(text, tags=("made",))
        await builder.store.remove("made")
        kept, cached = await builder.build(text, tags=("made",))
        await builder.store.remove("made")
        layer = next(iter(builder.cache.index.diff_ids))
        Path(str(builder.shop.building.tree(layer))).rename(builder.data / "elsewhere")

        again, heard = await builder.build(text, tags=("made",))

        assert kept == first
        assert "Using cache" in cached.all
        assert "Using cache" not in heard.all
        assert await builder.read(again, "made") == "once\n"

    run(machine, story)


def test_a_pruned_cache_gives_its_layers_back_but_not_those_of_images(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        await builder.build("FROM busy:1\nRUN echo kept > /kept\n", tags=("kept",))
        await builder.build("FROM busy:1\nRUN echo gone > /gone\n", tags=("gone",))
        await builder.store.remove("gone")
        before = len(list((builder.data / "images/layers").iterdir()))

        pruned = await builder.cache.prune(everything=True, unused_since=0, keep_bytes=0)

        assert len(pruned.removed) == 2
        assert pruned.reclaimed_bytes == len("kept\n") + len("gone\n")
        assert len(list((builder.data / "images/layers").iterdir())) == before - 1
        assert await builder.read("kept", "kept") == "kept\n"

    run(machine, story)


def test_stages_that_lead_nowhere_are_not_built(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        text = (
            "FROM busy:1 AS first\nRUN echo one > /one\n"
            "FROM nosuch:1 AS unused\nRUN false\n"
            "FROM first AS second\nRUN cat /one > /two\n"
            "FROM scratch\nCOPY --from=second /two /two\nCOPY --from=0 /one /renamed\n"
        )
        await builder.build(text, tags=("all",))
        await builder.build(text, tags=("only",), target="first")

        assert await builder.read("all", "two") == "one\n"
        assert await builder.read("all", "renamed") == "one\n"
        assert len((await builder.rootfs("only")).layer_dirs) == 2
        with pytest.raises(Invalid, match='target stage "third" could not be found'):
            await builder.build(text, target="third")

    run(machine, story)


def test_a_program_that_fails_ends_the_build_and_leaves_nothing(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        heard = Hearing()

        with pytest.raises(Invalid, match="The command '/bin/sh -c echo on its way; exit 9'"
                           " returned a non-zero code: 9"):  # fmt: skip
            await builder.build(
                "FROM busy:1\nRUN echo done > /x\nRUN echo on its way; exit 9\n",
                tags=("made",), hearing=heard,
            )  # fmt: skip

        assert heard.exit_code == 9
        assert "on its way\n" in heard.all
        with pytest.raises(Missing):
            builder.store.inspect("made")
        _, again = await builder.build("FROM busy:1\nRUN echo done > /x\n")
        assert "Using cache" in again.all

    run(machine, story)


def test_what_a_program_prints_comes_as_it_is_printed(machine: Machine) -> None:
    """The program waits for an answer that comes only once its words were heard."""

    async def story(builder: Builder) -> None:
        heard = Hearing()
        text = "FROM busy:1\nRUN --mount=type=cache,target=/c echo first; echo bad >&2; " \
               "until test -e /c/go; do sleep 0.01; done; echo last\n"  # fmt: skip
        building = asyncio.ensure_future(builder.build(text, hearing=heard))
        await heard.until("first\n")
        await heard.until("bad\n")
        (volume,) = (builder.data / "build/mounts").iterdir()
        (volume / "go").touch()
        await building

        assert ("bad\n", True) in heard.said
        assert ("last\n", False) in heard.said

    run(machine, story)


def test_a_program_is_fenced_as_any_container_is(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        _, heard = await builder.build(
            "FROM busy:1\nRUN grep -E 'CapEff|Seccomp:' /proc/self/status; id -u; "
            "cat /proc/1/comm; ls /sys/class/net; hostname | wc -c; echo $HOME $X; pwd; "
            "mount -t tmpfs none /tmp || echo refused\n"
        )

        assert "CapEff:\t00000000a80425fb" in heard.all
        assert "Seccomp:\t2" in heard.all
        assert "\nlo\n" in heard.all
        assert "\n13\n" in heard.all
        assert "/root" in heard.all
        assert "refused" in heard.all

    run(machine, story)


def test_programs_without_end_are_an_error(machine: Machine) -> None:
    """Whatever they leave behind ends with the step."""

    async def story(builder: Builder) -> None:
        with pytest.raises(Invalid, match="returned a non-zero code"):
            await builder.build(
                "FROM busy:1\nRUN f() { f | f & }; f; i=0; "
                "while test $i -lt 200; do sleep 100 & i=$((i+1)); done; wait\n",
                limits=Limits(pids=32),
            )

    run(machine, story)


def test_too_much_memory_is_an_error(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        with pytest.raises(Invalid) as caught:
            await builder.build(
                "FROM busy:1\nRUN dd if=/dev/zero of=/dev/null bs=64M count=1\n",
                limits=Limits(memory_bytes=16 << 20),
            )

        assert "returned a non-zero code: 137" in caught.value.message
        assert "memory" in caught.value.hint

    run(machine, story)


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    place.mkdir()
    assert os.system(f"mount -t tmpfs -o size={size} tmpfs {place}") == 0
    try:
        yield place
    finally:
        assert os.system(f"umount {place}") == 0


def test_a_step_that_fills_the_disk_is_an_error_and_gives_it_back(
    machine: Machine, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", "48m") as disk:

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
            assert os.statvfs(disk).f_bavail >= free - 16

        run(machine, story, data=disk / "data")


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
            builder.check()

    run(machine, story)


def test_a_context_that_breaks_off_leaves_nothing(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        whole = tar({"Dockerfile": "FROM busy:1\nCOPY a /a\n", "a": bytes(1 << 20)})

        with pytest.raises(Invalid, match="ends|whole"):
            await builder.build(context=whole[: 1 << 19])
        with pytest.raises(Invalid, match="Cannot locate specified Dockerfile: Dockerfile"):
            await builder.build(context=tar({"a": "b"}))

    run(machine, story)


def test_here_documents(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        await builder.build(
            "FROM busy:1\n"
            "ARG WHO=me\n"
            "COPY <<one <<-'two' /docs/\nfor $WHO\none\n\tfor $WHO\n\ttwo\n"
            "RUN <<EOF\necho $WHO > /ran\nEOF\n"
            "RUN <<EOF\n#!/bin/cat\nscript\nEOF\n"
            "RUN cat <<EOF > /catted\nin $WHO\nEOF\n",
            tags=("made",),
        )

        assert await builder.read("made", "docs/one") == "for me\n"
        assert await builder.read("made", "docs/two") == "for $WHO\n"
        assert await builder.read("made", "ran") == "me\n"
        assert await builder.read("made", "catted") == "in me\n"

    run(machine, story)


def test_owners_modes_and_parents(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        files = {"a": "a", "d/": "", "d/x": "x", "d/e/y.txt": "y", "d/e/z.md": "z"}
        await builder.build(
            "FROM busy:1\n"
            "RUN echo 'app:x:7:8::/:' >> /etc/passwd; echo 'app:x:9:' >> /etc/group\n"
            "COPY --chown=app --chmod=640 a /new/a\n",
            files, tags=("owned",),
        )  # fmt: skip
        await builder.build(
            "FROM busy:1\nCOPY --parents --exclude=*.md d/e d/x /p/\n", files, tags=("parents",)
        )
        await builder.build("FROM busy:1\nCOPY d/*/*.txt d/[x-z] /q/\n", files, tags=("wild",))

        assert await builder.top("owned") == ["new 755 7:9", "new/a 640 7:9"]
        assert [line.split()[0] for line in await builder.top("parents")] == [
            "p", "p/d", "p/d/e", "p/d/e/y.txt", "p/d/x",
        ]  # fmt: skip
        assert [line.split()[0] for line in await builder.top("wild")] == ["q", "q/x", "q/y.txt"]

    run(machine, story)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_archives_are_added_unpacked_and_copied_whole(machine: Machine, mode: str) -> None:
    async def story(builder: Builder) -> None:
        inner = tar({"in/f": "f", "in/link": "-> f"}, mode=mode)
        outer = tar(
            {"Dockerfile": "FROM busy:1\nADD a.tar /added\nCOPY a.tar /copied\n", "a.tar": inner},
            mode=mode,
        )
        await builder.build(context=outer, tags=("made",))

        assert await builder.read("made", "added/in/f") == "f"
        assert await builder.read("made", "added/in/link") == "f"
        assert (await builder.rootfs("made")).layer_dirs[0].joinpath("copied").read_bytes() == inner

    run(machine, story)


def test_what_is_ignored_is_not_there(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        files = {
            ".dockerignore": "# a comment\n*.log\n!kept.log\n**/deep\nDockerfile\n.dockerignore\n",
            "a.log": "", "kept.log": "", "x/deep/y": "", "x/z": "",
        }  # fmt: skip
        await builder.build("FROM scratch\nCOPY . /\n", files, tags=("made",))
        own = files | {"Dockerfile.dockerignore": "x\n"}
        await builder.build("FROM scratch\nCOPY . /\n", own, tags=("own",))

        assert [line.split()[0] for line in await builder.top("made")] == ["kept.log", "x", "x/z"]
        assert "x/z" not in " ".join(await builder.top("own"))
        with pytest.raises(Invalid, match=r"excluded by .dockerignore"):
            await builder.build("FROM scratch\nCOPY a.log /\n", files)

    run(machine, story)


@contextlib.contextmanager
def served(directory: Path) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(directory))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_files_and_contexts_are_downloaded(machine: Machine, tmp_path: Path) -> None:
    web = tmp_path / "web"
    web.mkdir()
    (web / "file.txt").write_text("fetched")
    (web / "Plain").write_text("FROM busy:1\nRUN echo plain > /plain\n")
    (web / "context.tar.gz").write_bytes(
        tar({"Dockerfile": "FROM busy:1\nCOPY a /a\n", "a": "remote"}, mode="w:gz")
    )
    with served(web) as url:

        async def story(builder: Builder) -> None:
            await builder.build(f"FROM busy:1\nADD {url}/file.txt /in/\n", tags=("file",))
            _, again = await builder.build(f"FROM busy:1\nADD {url}/file.txt /in/\n")
            await builder.build(remote=f"{url}/Plain", tags=("plain",))
            await builder.build(remote=f"{url}/context.tar.gz", tags=("context",))

            assert await builder.top("file") == ["in 755 0:0", "in/file.txt 600 0:0"]
            assert "Using cache" in again.all
            assert await builder.read("plain", "plain") == "plain\n"
            assert await builder.read("context", "a") == "remote"
            with pytest.raises(Invalid, match="404"):
                await builder.build(f"FROM busy:1\nADD {url}/nosuch /in/\n")
            with pytest.raises(Invalid, match="digest mismatch"):
                await builder.build(
                    f"FROM busy:1\nADD --checksum=sha256:{'0' * 64} {url}/file.txt /in/\n"
                )
            with pytest.raises(Unavailable):
                await builder.build("FROM busy:1\nADD http://127.0.0.1:1/x /in/\n")
            with pytest.raises(Invalid, match="git repository"):
                await builder.build(remote="https://example.com/x.git")

        run(machine, story)


def test_mounts_of_a_program_are_no_part_of_the_image(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        text = (
            "FROM busy:1 AS tools\nRUN echo tool > /tool\nFROM busy:1\n"
            "RUN --mount=type=cache,target=/root/.cache/x --mount=type=tmpfs,target=/t "
            "--mount=type=bind,source=sub,target=/src --mount=from=tools,source=/tool,target=/tool "
            "--mount=type=secret,id=none "
            "cat /src/f /tool; echo $RANDOM > /t/x; echo more >> /root/.cache/x/log; "
            "cat /root/.cache/x/log; echo y > /src/f || echo read-only\n"
        )
        _, heard = await builder.build(text, {"sub/f": "bound\n"}, tags=("made",))
        _, again = await builder.build(text, {"sub/f": "other\n"})

        assert "bound\ntool\nmore\nread-only\n" in heard.all.replace(
            "sh: can't create /src/f: Read-only file system\n", ""
        )
        assert "other\ntool\nmore\nmore\n" in again.all
        assert len((await builder.rootfs("made")).layer_dirs) == 1
        with pytest.raises(Refused, match="secret s is required"):
            await builder.build("FROM busy:1\nRUN --mount=type=secret,id=s,required true\n")
        with pytest.raises(Invalid, match="line 2: RUN --network is not supported"):
            await builder.build("FROM busy:1\nRUN --network=none true\n")

    run(machine, story)


def test_triggers_of_the_base_are_carried_out_once(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        await builder.build(
            "FROM busy:1\nONBUILD COPY a /a\nONBUILD RUN cat /a > /b\n", tags=("base",)
        )

        _, heard = await builder.build("FROM base\nRUN cat /b\n", {"a": "from"}, tags=("child",))
        await builder.build("FROM child\n", tags=("grandchild",))

        assert "# Executing 2 build triggers\n" in heard.all
        assert await builder.read("child", "b") == "from"
        assert "OnBuild" not in builder.config("child")["config"]
        assert (
            builder.store.inspect("child").image.id == builder.store.inspect("grandchild").image.id
        )

    run(machine, story)


def test_what_is_written_to_volumes_is_not_kept(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        await builder.build(
            "FROM busy:1\nRUN mkdir /v; echo before > /v/x\nVOLUME /v\n"
            "RUN cat /v/x; echo after > /v/x\n",
            tags=("made",),
        )

        assert await builder.read("made", "v/x") == "before\n"

    run(machine, story)


def test_a_squashed_image_has_one_layer_on_its_base(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        await builder.build(
            "FROM busy:1\nRUN mkdir /d; echo 1 > /d/1; echo gone > /gone\n"
            "RUN rm /gone; rm -r /d; mkdir /d; echo 2 > /d/2; rm -r /tmp\n",
            tags=("made",), squash=True,
        )  # fmt: skip

        layers = (await builder.rootfs("made")).layer_dirs
        assert len(layers) == 2
        assert sorted(each.name for each in layers[0].iterdir()) == ["d", "tmp"]
        assert (layers[0] / "tmp").is_char_device()
        assert [each.name for each in (layers[0] / "d").iterdir()] == ["2"]
        history = builder.config("made")["history"]
        assert [each.get("empty_layer", False) for each in history] == [False, True, True, False]

    run(machine, story)


def test_only_images_named_for_it_are_a_cache(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        text = "FROM busy:1\nENV FOO=bar\nRUN touch baz\nRUN touch bax\n"
        first, _ = await builder.build(text, tags=("build1",))

        same, heard = await builder.build(text, tags=("build2",), cache_from=("build1",))
        _, none = await builder.build(text, cache_from=("nosuchtag",))

        assert same == first
        assert heard.all.count("Using cache") == 3
        assert none.all.count("Using cache") == 0

    run(machine, story)


def test_hosts_ulimits_and_memory_that_were_asked_for(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        from swarm.specs import Ulimit

        _, heard = await builder.build(
            "FROM busy:1\nRUN cat /etc/hosts; ulimit -n; grep shm /proc/mounts\n",
            extra_hosts=("db:10.1.2.3",),
            ulimits=(Ulimit(name="nofile", soft=77, hard=77),),
            shm_bytes=3 << 20,
        )

        assert "10.1.2.3\tdb\n" in heard.all
        assert "\n77\n" in heard.all
        assert "size=3072k" in heard.all

    run(machine, story)


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
            text = b"FROM busy:1\nRUN ln -s / /root-link; ln -s %s /out\n" \
                   b"COPY through /out/\nCOPY through /out/new\n" % str(outside).encode()  # fmt: skip
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

    run(machine, story)


@pytest.mark.parametrize(
    ("name", "kind", "fields", "words"),
    [
        ("../../evil", tarfile.REGTYPE, {}, "leaves the archive"),
        ("dev", tarfile.CHRTYPE, {"devmajor": 1, "devminor": 5}, "is a device"),
        ("disk", tarfile.BLKTYPE, {"devmajor": 8, "devminor": 0}, "is a device"),
        ("hard", tarfile.LNKTYPE, {"linkname": "/etc/shadow"}, "hard link"),
        ("hard", tarfile.LNKTYPE, {"linkname": "../etc/shadow"}, "leaves the archive"),
        ("n" * 300, tarfile.REGTYPE, {}, "too long"),
        ("huge", tarfile.REGTYPE, {"size": 1 << 62}, "larger than the disk"),
        ("owner", tarfile.DIRTYPE, {}, ""),
    ],
)
def test_a_poisoned_context_is_refused(
    machine: Machine, name: str, kind: bytes, fields: dict[str, object], words: str
) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as archive:
        entry = tarfile.TarInfo(name)
        entry.type = kind
        for field, value in fields.items():
            setattr(entry, field, value)
        raw_entry = entry.tobuf(tarfile.GNU_FORMAT)
        archive.fileobj.write(raw_entry)  # type: ignore[union-attr]
        text = b"FROM busy:1\n"
        last = tarfile.TarInfo("Dockerfile")
        last.size = len(text)
        archive.addfile(last, io.BytesIO(text))

    async def story(builder: Builder) -> None:
        if not words:
            await builder.build(context=raw.getvalue())
            return
        with pytest.raises(Invalid, match=words):
            await builder.build(context=raw.getvalue())

    run(machine, story)
