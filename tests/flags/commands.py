"""Find the commands, and their flags, in the command line's own catalog.

A command is called by its words; `swarmctl` itself, whose flags come before any of them, has
none. What `swarm` has below it is the same as what is beside it, and counts once; so does what
`container` shares with the root, and what the root has of `image`.
"""

from collections.abc import Iterator

import click

from swarmctl.catalog import ROOT, Branch, Leaf
from swarmctl.lazy import load
from swarmctl.main import command as root_command

ITSELF = ""


def _named(branch: Branch, prefix: str = "") -> Iterator[tuple[str, Leaf]]:
    for name, entry in branch.children.items():
        match entry:
            case Leaf():
                yield f"{prefix}{name}", entry
            case Branch() if entry is not ROOT.children["swarm"]:
                yield from _named(entry, f"{prefix}{name} ")
            case Branch():
                pass


def _counted() -> Iterator[tuple[str, Leaf]]:
    """Each command that containers and images have in two places under one name."""
    named = dict(_named(ROOT))
    images = {leaf.target for name, leaf in named.items() if name.startswith("image ")}
    at_root = {leaf.target for name, leaf in named.items() if " " not in name}
    for name, leaf in named.items():
        is_of_images = " " not in name and (leaf.target in images or name in ("images", "rmi"))
        is_of_root = name.startswith("container ") and leaf.target in at_root
        if not is_of_images and not is_of_root and name != "container ls":
            yield name, leaf


_LEAVES = dict(_counted())
NAMES: tuple[str, ...] = (ITSELF, *_LEAVES)
"""Every command there is."""


def command_of(name: str) -> click.Command:
    """The click command of that name."""
    return load(_LEAVES[name]) if name else root_command()


def flags_of(name: str) -> dict[str, click.Option]:
    """The flags of a command, by their long names."""
    options = [each for each in command_of(name).params if isinstance(each, click.Option)]
    return {max(each.opts, key=len): each for each in options}


def spellings(name: str, flag: str) -> tuple[str, ...]:
    """All the ways to write a flag."""
    return tuple(flags_of(name)[flag].opts)
