"""Read where the node daemon listens, as `--host` and `SWARM_HOST` say it."""

from swarm.errors import Invalid

DEFAULT_HOST = "unix:///run/swarmd/swarmd.sock"


def socket_path(host: str) -> str:
    """The path in `unix:///run/swarmd/swarmd.sock`; a plain path will do as well."""
    path = host.removeprefix("unix://")
    if "://" in path or not path.startswith("/"):
        raise Invalid(f"--host {host!r} is not unix:///PATH", hint=f"the default is {DEFAULT_HOST}")
    return path
