"""What COPY and ADD put into images, on the real kernel."""

import contextlib
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from swarm.errors import Invalid, Unavailable
from tests.kernel.builder import Builder, tar, tell
from tests.kernel.machine import Machine

pytestmark = pytest.mark.kernel


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

    tell(machine, story)


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

    tell(machine, story)


def test_archives_are_added_unpacked_and_copied_whole(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        inner = {mode: tar({"in/f": mode, "in/link": "-> f"}, mode=f"w:{mode}") for mode in
                 ("", "gz", "bz2", "xz")}  # fmt: skip
        inner["zst"] = zstandard.compress(tar({"in/f": "zst", "in/link": "-> f"}))
        text = "FROM busy:1\n" + "".join(
            f"ADD a.{mode} /added/{mode}\nCOPY a.{mode} /copied/\n" for mode in inner
        )
        files = {f"a.{mode}": content for mode, content in inner.items()}
        outer = tar({"Dockerfile": text, **files})
        for mode in ("", "gz", "bz2", "xz"):
            again = tar({"Dockerfile": text, **files}, mode=f"w:{mode}")
            await builder.build(context=again, tags=("made",))
        _, heard = await builder.build(context=zstandard.compress(outer), tags=("made",))

        assert heard.all.count("Using cache") == 2 * len(inner)
        layers = [each for each in (await builder.rootfs("made")).layer_dirs]
        copied = [each / "copied" for each in layers if (each / "copied").exists()]
        for mode, content in inner.items():
            assert await builder.read("made", f"added/{mode}/in/f") == mode
            assert await builder.read("made", f"added/{mode}/in/link") == "f"
            (whole,) = [each / f"a.{mode}" for each in copied if (each / f"a.{mode}").exists()]
            assert whole.read_bytes() == content

    tell(machine, story)


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

    tell(machine, story)


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

        tell(machine, story)


def test_links_that_dangle_are_nothing_to_copy(machine: Machine) -> None:
    async def story(builder: Builder) -> None:
        files = {"a": "a", "dangling": "-> /etc/passwd", "good": "-> a"}

        await builder.build("FROM busy:1\nCOPY g* /in/\nCOPY . /all/\n", files, tags=("made",))
        for pattern in ("*", "dangling"):
            with pytest.raises(Invalid, match="stat dangling: file does not exist"):
                await builder.build(f"FROM busy:1\nCOPY {pattern} /in/\n", files)

        assert await builder.read("made", "in/good") == "a"
        assert await builder.read("made", "all/dangling") == "/etc/passwd"

    tell(machine, story)
