"""Lay out secrets and configs as Docker's API writes them, for both directions.

`data` is base64 on the wire. Of a secret it is never sent back.
"""

from msgspec import Struct

from engine.wire.services import DriverJson


class ContentSpecJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """A secret or a config as its operator wants it."""

    name: str = ""
    labels: dict[str, str] | None = None
    data: str = ""
    driver: DriverJson | None = None
    templating: DriverJson | None = None
