"""Hold what every command needs: which daemon to ask, the clock, and where to print."""

import os
import sys
import time
from functools import cached_property
from typing import TYPE_CHECKING

from swarmctl.hosts import DEFAULT_HOST

if TYPE_CHECKING:
    from swarmctl.io.channel import Channel
    from swarmctl.io.containers import Containers
    from swarmctl.io.control import Control
    from swarmctl.io.daemon import Daemon
    from swarmctl.io.images import Images
    from swarmctl.io.local_networks import LocalNetworks
    from swarmctl.io.networks import Networks
    from swarmctl.io.volumes import Volumes


class Session:
    """One run of swarmctl. The stubs of a service are imported when it is first called."""

    def __init__(self, host: str | None) -> None:
        self.host = host or DEFAULT_HOST
        self.is_default_host = not host

    @cached_property
    def channel(self) -> "Channel":
        """The connection, made by its first call."""
        from swarmctl.io.channel import Channel

        return Channel(self.host)

    @cached_property
    def control(self) -> "Control":
        """The cluster."""
        from swarmctl.io.control import Control

        return Control(self.channel)

    @cached_property
    def networks(self) -> "Networks":
        """The cluster's networks."""
        from swarmctl.io.networks import Networks

        return Networks(self.channel)

    @cached_property
    def local_networks(self) -> "LocalNetworks":
        """The networks of this host alone."""
        from swarmctl.io.local_networks import LocalNetworks

        return LocalNetworks(self.channel)

    @cached_property
    def daemon(self) -> "Daemon":
        """This host's node daemon."""
        from swarmctl.io.daemon import Daemon

        return Daemon(self.channel)

    @cached_property
    def images(self) -> "Images":
        """This host's images."""
        from swarmctl.io.images import Images

        return Images(self.channel)

    @cached_property
    def containers(self) -> "Containers":
        """The containers that run on this host."""
        from swarmctl.io.containers import Containers

        return Containers(self.channel)

    @cached_property
    def volumes(self) -> "Volumes":
        """This host's volumes."""
        from swarmctl.io.volumes import Volumes

        return Volumes(self.channel)

    def close(self) -> None:
        """Hang up."""
        if "channel" in self.__dict__:
            self.channel.close()

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def say(self, text: str) -> None:
        """Print a line."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def write(self, text: str, *, flush: bool = False) -> None:
        """Print `text` as it is."""
        sys.stdout.write(text)
        if flush:
            sys.stdout.flush()

    def warn(self, text: str) -> None:
        """Print a line for people, beside the output."""
        sys.stdout.flush()
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def is_interactive(self) -> bool:
        """Whether someone watches the output."""
        return sys.stdout.isatty()

    def columns(self) -> int:
        """How wide their terminal is."""
        try:
            return os.get_terminal_size(sys.stdout.fileno()).columns or 80
        except (OSError, ValueError):
            return 80
