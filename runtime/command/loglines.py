"""Word messages as callers of runc read them: logfmt, or one JSON object a line."""

import msgspec


def line(level: str, message: str, *, when: str, as_json: bool) -> str:
    """One line without its end; `when` is a time of RFC 3339."""
    message = message.encode("utf-8", "replace").decode()  # words that are not UTF-8 came in
    if as_json:
        record = {"level": level, "msg": message, "time": when}
        return msgspec.json.encode(record).decode()
    return f'time="{when}" level={level} msg={_quoted(message)}'


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()
