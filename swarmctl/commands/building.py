"""`swarmctl build`: an image from a Dockerfile, on this host."""

import os
from pathlib import Path

import click

from swarmctl import options
from swarmctl.io.session import Session
from swarmctl.kinds import BYTES, COUNT, INTEGER, SWAP
from swarmctl.lazy import Command


def _lists(command: options.F) -> options.F:
    for names, metavar, text in (
        (("--add-host",), "NAME:IP", "Entry of /etc/hosts while it is built"),
        (("--build-arg",), "NAME[=VALUE]", "Value of an ARG"),
        (("--cache-from",), "IMAGE", "Image whose layers may be taken"),
        (("--label",), "KEY[=VALUE]", "Label of the image"),
        (("-t", "--tag"), "NAME[:TAG]", "Name of the image"),
        (("--ulimit",), "NAME=SOFT[:HARD]", "Resource limit of each step"),
    ):
        command = options.flag_list(command, names, metavar, text)
    return command


@click.command("build", cls=Command)
@click.argument("path", metavar="PATH|URL|-")
@_lists
@click.option("-c", "--cpu-shares", type=COUNT, default=0, help="Weight of steps that want cpu")
@click.option("--cpu-period", type=COUNT, default=0, help="Period of the cpu quota (microseconds)")
@click.option("--cpu-quota", type=INTEGER, default=0, help="Cpu time in each period (microseconds)")
@click.option("--cpuset-cpus", default="", help="Cpus that steps may run on, such as 0-2")
@click.option("--cpuset-mems", default="", help="Memory nodes that steps may use")
@click.option("-f", "--file", "dockerfile", default="", metavar="FILE",
              help="The Dockerfile (default PATH/Dockerfile; - is standard input)")  # fmt: skip
@click.option("--force-rm", is_flag=True, help="Keep nothing of a step that fails")
@click.option("--iidfile", default="", metavar="FILE", help="Write the image's id to a file")
@click.option("-m", "--memory", type=BYTES, default=0, help="Memory that a step may use at most")
@click.option(
    "--memory-swap", type=SWAP, default=0, help="Memory and swap together (-1: unlimited)"
)
@click.option("--network", default="", metavar="NETWORK", help="Network of RUN: host, none, NAME")
@click.option("--no-cache", is_flag=True, help="Do every step anew")
@click.option("--platform", default="", metavar="OS/ARCH", help="What base images are to be for")
@click.option("--pull", is_flag=True, help="Ask registries for newer base images")
@click.option("-q", "--quiet", is_flag=True, help="Print the image's id only")
@click.option("--rm/--no-rm", default=True, help="Keep no containers of steps (default)")
@click.option("--shm-size", type=BYTES, default=0, help="Size of /dev/shm of steps")
@click.option("--target", default="", metavar="STAGE", help="The stage to stop at")
@click.pass_obj
def build(session: Session, /, *, path: str, **flags: object) -> None:
    """Build an image from a Dockerfile and the files of a directory.

    What .dockerignore names is not sent. A URL, or - for a tar or a Dockerfile on standard input,
    stand for a directory.
    """
    from swarmctl.building import build_spec
    from swarmctl.io.building import Context, build_image, context_of
    from swarmctl.io.credentials import all_registry_auths

    spec = build_spec(flags, environ=os.environ)
    context: Context = context_of(path, str(flags["dockerfile"]), spec)
    spec.registry_auths.update(all_registry_auths())
    image = build_image(session, spec, context, quiet=bool(flags["quiet"]))
    if flags["iidfile"]:
        Path(str(flags["iidfile"])).write_text(image)
    if flags["quiet"]:
        session.say(image)
