"""Builds on the real kernel: stages, programs, the cache, and what becomes of images."""

import asyncio
from pathlib import Path

import pytest

from swarm.errors import Invalid, Missing, Refused
from swarm.specs import Ulimit
from tests.kernel.builder import Builder, Hearing, tell
from tests.kernel.machine import Machine

pytestmark = pytest.mark.kernel


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

    tell(machine, story)


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

    tell(machine, story)


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

    tell(machine, story)


def test_a_pruned_cache_gives_its_layers_back_but_not_those_of_images(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        await builder.build("FROM busy:1\nRUN echo kept > /kept\n", tags=("kept",))
        await builder.build("FROM busy:1\nRUN echo gone > /gone\n", tags=("gone",))
        await builder.store.remove("gone")
        before = len(list((builder.data / "images/layers").iterdir()))

        pruned = await builder.cache.prune(everything=True, unused_since=0, keep_bytes=0)

        assert len(pruned.removed) == 2
        assert pruned.reclaimed_bytes == len("gone\n")
        assert len(list((builder.data / "images/layers").iterdir())) == before - 1
        assert await builder.read("kept", "kept") == "kept\n"

    tell(machine, story)


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

    tell(machine, story)


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

    tell(machine, story)


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

    tell(machine, story)


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

    tell(machine, story)


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

        assert "bound\ntool\nmore\nread-only\n" in heard.printed
        assert "other\ntool\nmore\nmore\n" in again.printed
        assert len((await builder.rootfs("made")).layer_dirs) == 1
        with pytest.raises(Refused, match="secret s is required"):
            await builder.build("FROM busy:1\nRUN --mount=type=secret,id=s,required true\n")
        with pytest.raises(Invalid, match="line 2: RUN --network is not supported"):
            await builder.build("FROM busy:1\nRUN --network=none true\n")

    tell(machine, story)


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

    tell(machine, story)


def test_what_is_written_to_volumes_is_not_kept(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        await builder.build(
            "FROM busy:1\nRUN mkdir /v; echo before > /v/x\nVOLUME /v\n"
            "RUN cat /v/x; echo after > /v/x\n",
            tags=("made",),
        )

        assert await builder.read("made", "v/x") == "before\n"

    tell(machine, story)


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

    tell(machine, story)


def test_only_images_named_for_it_are_a_cache(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        text = "FROM busy:1\nENV FOO=bar\nRUN touch baz\nRUN touch bax\n"
        first, _ = await builder.build(text, tags=("build1",))

        same, heard = await builder.build(text, tags=("build2",), cache_from=("build1",))
        _, none = await builder.build(text, cache_from=("nosuchtag",))

        assert same == first
        assert heard.all.count("Using cache") == 3
        assert none.all.count("Using cache") == 0

    tell(machine, story)


def test_hosts_ulimits_and_memory_that_were_asked_for(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        _, heard = await builder.build(
            "FROM busy:1\nRUN cat /etc/hosts; ulimit -n; grep shm /proc/mounts\n",
            extra_hosts=("db:10.1.2.3",),
            ulimits=(Ulimit(name="nofile", soft=77, hard=77),),
            shm_bytes=3 << 20,
        )

        assert "10.1.2.3\tdb\n" in heard.all
        assert "\n77\n" in heard.all
        assert "size=3072k" in heard.all

    tell(machine, story)
