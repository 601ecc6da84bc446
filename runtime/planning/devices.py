"""List the devices and links that a container finds in /dev.

Those that every program expects are there whatever the config says, as the OCI specification
demands; the config's own win over them. Where a bind brings a whole /dev, it is left alone.
"""

from runtime import constants as k
from runtime.defaults import DEVICES
from runtime.oci.config import Config, Device
from runtime.oci.names import MOUNT_FLAGS
from runtime.steps import Link, MakeNode

_LINKS = (
    Link("/dev/fd", "/proc/self/fd"),
    Link("/dev/stdin", "/proc/self/fd/0"),
    Link("/dev/stdout", "/proc/self/fd/1"),
    Link("/dev/stderr", "/proc/self/fd/2"),
    Link("/dev/ptmx", "pts/ptmx"),
    Link("/dev/core", "/proc/kcore"),
)
_ANYONE = 0o666


def are_made(config: Config) -> bool:
    """Whether anything is to be made in /dev."""
    for mount in config.mounts:
        if mount.destination.rstrip("/") == "/dev":
            flags = [MOUNT_FLAGS.get(option, (False, 0))[1] for option in mount.options]
            return mount.type != "bind" and not any(flag & k.MS_BIND for flag in flags)
    return True


def wanted(config: Config) -> tuple[Device, ...]:
    """Each device once."""
    found = {
        f"/dev/{name}": Device(type="c", path=f"/dev/{name}", major=major, minor=minor)
        for name, major, minor in DEVICES
    }
    found |= {device.path: device for device in (config.linux.devices if config.linux else ())}
    return tuple(found.values())


def links() -> tuple[Link, ...]:
    """What is a link in every /dev."""
    return _LINKS


def node(device: Device) -> MakeNode:
    """How a device is made; `u` is another word for `c`."""
    return MakeNode(
        path=device.path,
        kind="c" if device.type == "u" else device.type,
        major=device.major,
        minor=device.minor,
        mode=_ANYONE if device.file_mode is None else device.file_mode & 0o7777,
        uid=device.uid,
        gid=device.gid,
    )
