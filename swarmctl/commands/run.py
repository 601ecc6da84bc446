"""`swarmctl run|create`: a container on this host."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from swarm.errors import Invalid, KernelRefused, Missing, Refused, SwarmError
from swarmctl import completing, options
from swarmctl.containers.options import container_flags
from swarmctl.detaching import DEFAULT_KEYS
from swarmctl.io.session import Session
from swarmctl.lazy import Command

if TYPE_CHECKING:
    from swarm.standalone import StandaloneSpec

# As a shell says it of programs, and Docker of containers that could not be made.
NOT_MADE = 125
_PULLS = click.Choice(["always", "missing", "never"])
# -h is the host's name, as in Docker.
_SETTINGS = {"allow_interspersed_args": False, "help_option_names": ["--help"]}
_OUR_OWN = ("cidfile", "detach", "detach_keys", "pull", "quiet", "sig_proxy")


def _image_flags(command: options.F) -> options.F:
    command = click.option("-q", "--quiet", is_flag=True, help="Show nothing of the pull")(command)
    command = click.option(
        "--pull", type=_PULLS, default="missing", help="Fetch the image first (default missing)"
    )(command)
    return click.option("--cidfile", default="", metavar="FILE", help="Write the id to a file")(
        command
    )


_image = click.argument("image", metavar="IMAGE", shell_complete=completing.images)
_arguments = click.argument(
    "arguments", nargs=-1, metavar="[COMMAND] [ARG...]", type=click.UNPROCESSED
)


@click.command("create", cls=Command, context_settings=_SETTINGS, options_metavar="[OPTIONS]")
@_image
@_arguments
@container_flags
@_image_flags
@click.pass_obj
def create(session: Session, /, **flags: object) -> None:
    """Make a container on this host without starting it; prints its id."""
    session.say(_create(session, flags))


@click.command("run", cls=Command, context_settings=_SETTINGS, options_metavar="[OPTIONS]")
@_image
@_arguments
@container_flags
@_image_flags
@click.option("-d", "--detach", is_flag=True, help="Let it run in the background; print its id")
@click.option(
    "--detach-keys", default=DEFAULT_KEYS, metavar="KEYS",
    help=f"Keys that leave the terminal without ending the program (default {DEFAULT_KEYS})",
)  # fmt: skip
@click.option(
    "--sig-proxy/--no-sig-proxy", default=True,
    help="Pass signals on to the program (default, but not to a terminal)",
)  # fmt: skip
@click.pass_obj
def run(session: Session, /, **flags: object) -> int:
    """Run a program in a container of its own on this host.

    The exit status is the program's: 125 if the container could not be made, 126 if the program
    cannot be run, 127 if there is no such program.
    """
    is_alone, keys, passes = flags["detach"], str(flags["detach_keys"]), flags["sig_proxy"]
    if flags["interactive"] and flags["tty"] and not is_alone and not os.isatty(0):
        raise Refused("the input device is not a TTY", hint="leave out -t to pass on a pipe")
    try:
        container = _create(session, flags)
        if is_alone:
            session.containers.start(container)
            session.say(container)
            return 0
        return join(
            session,
            container,
            opens_input=bool(flags["interactive"]),
            keys=keys if flags["tty"] else "",
            passes_signals=bool(passes),
            starts=True,
        )
    except SwarmError as err:
        return _failed(session, err)


def join(
    session: Session,
    container: str,
    *,
    opens_input: bool,
    keys: str,
    passes_signals: bool,
    starts: bool = False,
    hears: bool = True,
) -> int:
    """Be the streams of a container's program until it ends; `starts` it once we listen."""
    from swarm.api.v1 import control_pb2
    from swarmctl.commands.program import converse_as, measure
    from swarmctl.detaching import parse_keys
    from swarmctl.io.streaming import Manner

    begin = control_pb2.AttachStart(task=container, open_stdin=opens_input)
    measure(begin.size)
    manner = Manner(
        open_stdin=opens_input,
        keys=parse_keys(keys) if keys else b"",
        passes_signals=passes_signals,
        is_exec=False,
        is_silent=not hears,
    )
    return converse_as(
        session,
        "Containers/AttachContainer",
        control_pb2.StreamInput(attach=begin),
        manner,
        begun=(lambda: session.containers.start(container)) if starts else lambda: None,
    )


def _create(session: Session, flags: dict[str, object]) -> str:
    """Make the container, with its image fetched as asked; its id."""
    from swarm.codec import to_message

    own = {name: flags.pop(name, None) for name in _OUR_OWN}
    spec = spec_of(flags)
    if own["cidfile"] and Path(str(own["cidfile"])).exists():
        raise Refused(f"{own['cidfile']} exists already", hint="remove it, or name another file")
    image = spec.container.image
    if own["pull"] == "always":
        _fetch(session, image, quiet=bool(own["quiet"]))
    try:
        answer = session.containers.create(to_message(spec))
    except Missing:
        if own["pull"] != "missing" or _has_image(session, image):
            raise
        _fetch(session, image, quiet=bool(own["quiet"]))
        answer = session.containers.create(to_message(spec))
    for warning in answer.warnings:
        session.warn(f"Warning: {warning}")
    if own["cidfile"]:
        Path(str(own["cidfile"])).write_text(answer.id)
    return answer.id


def spec_of(flags: dict[str, object]) -> "StandaloneSpec":
    """What the flags ask for; `Invalid` before anything is sent."""
    from swarmctl.containers.flags import ContainerFlags
    from swarmctl.containers.specs import container_spec
    from swarmctl.io.profiles import read_profiles

    flags["env"] = (*_entries("--env-file", flags.pop("env_file")), *_texts(flags["env"]))
    flags["label"] = (*_entries("--label-file", flags.pop("label_file")), *_texts(flags["label"]))
    flags["security_opt"] = read_profiles(_texts(flags["security_opt"]))
    converted = msgspec.convert(flags, ContainerFlags)
    return container_spec(converted, environ=os.environ, directory=str(Path.cwd()))


def _fetch(session: Session, image: str, *, quiet: bool) -> None:
    from swarmctl.io.pulls import pull_image

    if not quiet:
        session.warn(f"Unable to find image '{image}' locally")
    pull_image(session, image, quiet=quiet, beside=True)


def _has_image(session: Session, image: str) -> bool:
    try:
        session.images.inspect(image)
    except Missing:
        return False
    return True


def _failed(session: Session, err: SwarmError) -> int:
    from runtime.joining import refusal_code
    from swarmctl.main import told

    session.warn(told(err))
    return refusal_code(err) if isinstance(err, KernelRefused) else NOT_MADE


def _entries(flag: str, paths: object) -> tuple[str, ...]:
    from swarmctl.environment import read_env_file

    found: list[str] = []
    for path in _texts(paths):
        try:
            content = Path(path).read_bytes()
        except OSError as err:
            raise Invalid(f"{flag} {path}: {err.strerror}", hint="give a file to read") from err
        found += read_env_file(content, path=f"{flag} {path}")
    return tuple(found)


def _texts(value: object) -> Sequence[str]:
    return msgspec.convert(value, tuple[str, ...])
