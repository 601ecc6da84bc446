"""Tell systemd how far we are (sd_notify(3)); without systemd, say nothing."""

import os
import socket


def notify(state: str) -> None:
    """Send `state`, such as `READY=1`, to the service manager that started us."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.connect(name)
        sender.send(state.encode())


def is_supervised() -> bool:
    """Whether a service manager brings us back when we crash."""
    return "INVOCATION_ID" in os.environ or "NOTIFY_SOCKET" in os.environ
