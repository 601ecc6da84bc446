"""Load msgspec without the modules that it only needs for what we never ask of it.

UUIDs, decimals and JSON schemas: their modules compile regular expressions while they load, and
take a fifth of the time that a command of `swarm-runtime` has. Empty ones stand in for them
while msgspec loads and are gone after that, so that whoever imports the real ones gets them.
"""

import sys
from types import ModuleType

_ABSENT = ("typing_extensions",)  # msgspec tries this and does without
_EMPTY = {
    "uuid": ("UUID", "SafeUUID"),
    "decimal": ("Decimal",),
    "msgspec.inspect": (),
    "msgspec._json_schema": ("schema", "schema_components"),
    "msgspec.msgpack": (),
    "msgspec.toml": (),
    "msgspec.yaml": (),
}


def load_msgspec() -> None:
    """Load it, the usual way if a version of it turns out to need more."""
    if "msgspec" in sys.modules:
        return
    stood_in = _stand_in()
    try:
        __import__("msgspec")
    except (ImportError, AttributeError):
        for name in [each for each in sys.modules if each.partition(".")[0] == "msgspec"]:
            del sys.modules[name]
    finally:
        for name in stood_in:
            sys.modules.pop(name, None)


def _stand_in() -> list[str]:
    names = [name for name in (*_ABSENT, *_EMPTY) if name not in sys.modules]
    for name in names:
        if name in _ABSENT:
            sys.modules[name] = None  # type: ignore[assignment]  # how Python spells absence
            continue
        empty = ModuleType(name)
        for attribute in _EMPTY[name]:
            setattr(empty, attribute, type(attribute, (), {"unknown": None}))
        sys.modules[name] = empty
    return names
