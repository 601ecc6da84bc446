"""Say what this runtime is, and write the config to begin with."""

# Plain strings: pathlib would cost every command time.
# ruff: noqa: PTH100

import contextlib
import os
import sys

import msgspec

from runtime.command import template
from runtime.command.parsing import Options
from runtime.oci.config import VERSION
from swarm import __version__
from swarm.errors import Invalid, Refused


def version() -> str:
    """The lines that dockerd and podman look at."""
    lines = [f"swarm-runtime version {__version__}", f"spec: {VERSION}"]
    library = _seccomp_version()
    if library:
        lines.append(f"libseccomp: {library}")
    return "\n".join(lines) + "\n"


def _seccomp_version() -> str:
    from runtime.io.seccomp import library_version  # loads the library

    with contextlib.suppress(OSError):
        return library_version()
    return ""


def features() -> None:
    """Print what there is, in the words of the specification."""
    from runtime.io.seccomp import supported_flags
    from runtime.oci.features import features as found

    said = found(
        version=__version__,
        libseccomp=_seccomp_version(),
        supported_flags=supported_flags(),
    )
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(said), indent=4).decode() + "\n")


def write_spec(options: Options) -> None:
    """Write config.json into the bundle, unless there is one."""
    path = f"{os.path.abspath(options.text('bundle'))}/config.json"
    caller = (os.geteuid(), os.getegid())
    config = template.config(rootless=caller if options.is_on("rootless") else None)
    text = msgspec.json.format(msgspec.json.encode(config), indent=4) + b"\n"
    try:
        with open(path, "xb") as file:
            file.write(text)
    except FileExistsError as err:
        raise Refused(f"{path} already exists", hint="remove it first") from err
    except OSError as err:
        raise Invalid(f"cannot write {path}: {(err.strerror or '').lower()}") from err
