"""Load nftables rulesets from text; what changes later is elements, see `netlink`."""

import subprocess
from typing import Final

from agent.network.io.namespaces import entered
from swarm.errors import KernelRefused, Refused

_LIMIT_S: Final = 30.0
_SHOWN: Final = 500  # characters


def load(text: str, netns: int) -> None:
    """Load a ruleset into the namespace that is open as `netns`: all of it, or nothing.

    `Refused` when nft is not installed, `KernelRefused` when it or the kernel says no.
    """
    with _started(netns) as nft:
        try:
            _, said = nft.communicate(text, _LIMIT_S)
        except subprocess.TimeoutExpired as err:
            nft.kill()
            raise KernelRefused(
                "load ruleset", 0, f"nft has not finished within {_LIMIT_S:.0f} s"
            ) from err
    if nft.returncode:
        raise KernelRefused(
            "load ruleset",
            0,
            f"nft refused a ruleset: {' '.join(said.split())[:_SHOWN]}",
            hint="the kernel needs nf_tables with nat, fib and, for ingress, netdev egress (5.16)",
        )


def _started(netns: int) -> subprocess.Popen[str]:
    """nft in the namespace: a process is born where its parent's thread is."""
    try:
        with entered(netns):
            return subprocess.Popen(
                ["nft", "-f", "-"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
    except FileNotFoundError as err:
        raise Refused(
            "nft is not installed on this node", hint="install the package nftables"
        ) from err
