"""Find a family of generic netlink, and head its messages. Source: linux/genetlink.h."""

import struct
from typing import Final

from agent.network.wire.attributes import decoded, text, to_number
from agent.network.wire.messages import Request

HEAD: Final = struct.Struct("=BBH")  # struct genlmsghdr

_CONTROL: Final = 16  # GENL_ID_CTRL
_GET_FAMILY: Final = 3
_FAMILY_ID, _FAMILY_NAME = 1, 2


def get_family(name: str) -> Request:
    """Ask for the number of a family; refused with ENOENT where the kernel has none."""
    return Request(_CONTROL, 0, HEAD.pack(_GET_FAMILY, 1, 0) + text(_FAMILY_NAME, name))


def decode_family(body: bytes) -> int:
    """The number that messages of the family have as their kind."""
    return to_number(decoded(body, HEAD.size)[_FAMILY_ID])
