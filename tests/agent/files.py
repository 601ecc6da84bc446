"""Ask a node for the files of its containers, and pack and unpack what is sent for that."""

import io
import tarfile
from collections.abc import Callable, Iterator

from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import containers_pb2_grpc
from tests.agent.images.io.archives import tar

KINDS = {0: "C", 1: "A", 2: "D"}


class Files:
    """The calls about files, with answers that are easy to compare."""

    def __init__(self, stub: containers_pb2_grpc.ContainersStub) -> None:
        self.stub = stub

    def stat(self, container: str, path: str) -> pb.PathStat:
        request = pb.StatPathRequest(container=container, path=path)
        return self.stub.StatPath(request, timeout=30).stat

    def read(self, container: str, path: str) -> dict[str, tarfile.TarInfo]:
        """What an archive of `path` holds, by name."""
        return {each.name: each for each in unpacked(self.packed(container, path))}

    def packed(self, container: str, path: str) -> bytes:
        request = pb.ReadArchiveRequest(container=container, path=path)
        first, *rest = self.stub.ReadArchive(request, timeout=60)
        assert first.stat.name
        return b"".join(each.chunk for each in rest)

    def content(self, container: str, path: str) -> bytes:
        with tarfile.open(fileobj=io.BytesIO(self.packed(container, path))) as packed:
            file = packed.extractfile(packed.getmembers()[0])
            assert file is not None
            return file.read()

    def write(self, container: str, path: str, archive: bytes, **fields: bool) -> None:
        def requests() -> Iterator[pb.WriteArchiveRequest]:
            yield pb.WriteArchiveRequest(container=container, path=path, **fields)
            for start in range(0, len(archive), 100_000):
                yield pb.WriteArchiveRequest(chunk=archive[start : start + 100_000])

        self.stub.WriteArchive(requests(), timeout=60)

    def put(self, container: str, path: str, **files: bytes) -> None:
        """Write small files."""
        self.write(container, path, tar(*files.items()))

    def diff(self, container: str) -> list[str]:
        answer = self.stub.DiffContainer(pb.DiffContainerRequest(container=container), timeout=30)
        return [f"{KINDS[each.kind]} {each.path}" for each in answer.changes]

    def export(self, container: str) -> dict[str, tarfile.TarInfo]:
        request = pb.ExportContainerRequest(container=container)
        packed = b"".join(each.chunk for each in self.stub.ExportContainer(request, timeout=60))
        return {each.name: each for each in unpacked(packed)}

    def commit(self, container: str, **fields: object) -> str:
        request = pb.CommitContainerRequest(container=container, **fields)
        return self.stub.CommitContainer(request, timeout=60).id


def unpacked(archive: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(archive), errors="surrogateescape") as packed:
        return packed.getmembers()


Make = Callable[..., str]
