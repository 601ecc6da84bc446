"""Networks as specs name them."""

from swarm.specs import NetworkAttachment


def attached(*targets: str) -> tuple[NetworkAttachment, ...]:
    """Attachments to these networks, without aliases."""
    return tuple(NetworkAttachment(target=each) for each in targets)
