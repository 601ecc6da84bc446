"""Carry a seccomp profile in a spec: as text, without its white space, and not too much of it.

What the text means is the runtime's to judge (`runtime.seccomp.profiles`): managers and
swarmctl ask it too, so that no node is given a profile that it cannot read.
"""

from hashlib import sha256
from typing import Final

from swarm.errors import Invalid

UNCONFINED: Final = "unconfined"
LARGEST_BYTES: Final = 128 * 1024  # Docker's own default has 13 KiB


def compact(content: bytes) -> str:
    """The JSON of a file on one line; `Invalid` says where it is none."""
    import json

    try:
        found: object = json.loads(content.decode())
        text = json.dumps(found, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        text.encode()  # half a surrogate pair is not text
    except UnicodeDecodeError as err:
        raise Invalid(f"is not text: {err.reason} at byte {err.start}") from err
    except json.JSONDecodeError as err:
        raise Invalid(f"is not JSON: {err.msg} at line {err.lineno}, column {err.colno}") from err
    except (ValueError, RecursionError, OverflowError) as err:
        raise Invalid(f"is not JSON that can be read: {err}") from err
    if is_too_large(text):
        raise Invalid(f"has more than {LARGEST_BYTES >> 10} KiB")
    return text


def is_too_large(text: str) -> bool:
    """Whether every service with such a profile would be a burden to the store."""
    return len(text.encode(errors="replace")) > LARGEST_BYTES


def named(setting: str) -> str:
    """A setting as it is, but for a profile, which is named by its digest."""
    if setting in ("", UNCONFINED):
        return setting
    return f"sha256:{sha256(setting.encode()).hexdigest()}"
