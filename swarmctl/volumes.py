"""Show this host's volumes, and say which of them nobody misses."""

from collections.abc import Iterable, Iterator, Mapping

from swarm.api.v1 import volumes_pb2
from swarm.volumes import ANONYMOUS
from swarmctl.filters import Test, has_label, is_true
from swarmctl.spec_details import Object, ordered
from swarmctl.tables import Listing
from swarmctl.times import rfc3339

VOLUMES = Listing(
    columns=("Driver", "Name"),
    headings={
        "Driver": "DRIVER",
        "Name": "VOLUME NAME",
        "Scope": "SCOPE",
        "Mountpoint": "MOUNTPOINT",
        "Labels": "LABELS",
        "Links": "LINKS",
    },
    key="Name",
)
VOLUME_TESTS: Mapping[str, Test[volumes_pb2.Volume]] = {
    "name": lambda volume, text: text in volume.name,
    "label": lambda volume, text: has_label(volume.labels, text),
    "driver": lambda volume, text: volume.driver == text,
    "dangling": lambda volume, text: (not volume.users) == is_true(text),
}
PRUNE_TESTS: Mapping[str, Test[volumes_pb2.Volume]] = {
    "label": lambda volume, text: has_label(volume.labels, text),
    "label!": lambda volume, text: not has_label(volume.labels, text),
    "all": lambda _volume, _text: True,  # which ones are meant at all
}


def volume_rows(volumes: Iterable[volumes_pb2.Volume]) -> Iterator[dict[str, str]]:
    """Lines of `volume ls`."""
    for volume in volumes:
        yield {
            "Driver": volume.driver,
            "Name": volume.name,
            "Scope": "local",
            "Mountpoint": volume.mountpoint,
            "Labels": ",".join(f"{k}={v}" for k, v in sorted(volume.labels.items())),
            "Links": str(len(volume.users)),
        }


def volume_detail(volume: volumes_pb2.Volume) -> Object:
    """A volume as `volume inspect` prints it."""
    return {
        "CreatedAt": rfc3339(volume.created_at),
        "Driver": volume.driver,
        "Labels": ordered(volume.labels),
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Options": ordered(volume.options),
        "Scope": "local",
        "UsedBy": list(volume.users),
    }


def unused(volumes: Iterable[volumes_pb2.Volume], *, named: bool) -> list[volumes_pb2.Volume]:
    """Those that no task needs; without `named` only those whose names were made up."""
    return [
        volume for volume in volumes if not volume.users and (named or ANONYMOUS in volume.labels)
    ]
