"""Fill `${VARIABLE}` in, wherever a value of a stack file has one.

Keys are left as they are. `$$` is a dollar. What stands after `:-`, `-`, `:+` and `+` may itself
have variables; a variable that is neither set nor given a default is empty, and told of.
"""

import re
from collections.abc import Mapping

from swarm.errors import Invalid
from swarmctl.stacks.documents import Document, Value

_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_HINT = "a dollar that means itself is written $$"
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")


class Filling:
    """Fill variables from `environ`; `unset` collects the names of those that had no value."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.unset: list[str] = []

    def document(self, document: Document) -> Document:
        """The document with every value filled in."""
        return {key: self._value(each, key) for key, each in document.items()}

    def _value(self, value: Value, path: str) -> Value:
        if isinstance(value, str):
            return self.text(value, path) if "$" in value else value
        if isinstance(value, dict):
            return {key: self._value(each, f"{path}.{key}") for key, each in value.items()}
        if isinstance(value, list):
            return [self._value(each, f"{path}[{at}]") for at, each in enumerate(value)]
        return value

    def text(self, text: str, path: str) -> str:
        """`text` with its variables filled in."""
        done, rest = "", text
        while rest:
            before, dollar, rest = rest.partition("$")
            done += before
            if not dollar:
                break
            if rest.startswith("$"):
                done, rest = f"{done}$", rest[1:]
            elif rest.startswith("{"):
                inner, rest = _braced(rest[1:], text, path)
                done += self._braces(inner, text, path)
            elif found := _NAME.match(rest):
                done, rest = done + self._plain(found[0]), rest[found.end() :]
            else:
                raise _unreadable(text, path)
        return done

    def _braces(self, inner: str, text: str, path: str) -> str:
        found = _NAME.match(inner)
        if found is None:
            raise _unreadable(text, path)
        name, rest = found[0], inner[found.end() :]
        if not rest:
            return self._plain(name)
        operator = next((each for each in _OPERATORS if rest.startswith(each)), None)
        if operator is None:
            raise _unreadable(text, path)
        word, value = rest[len(operator) :], self._environ.get(name)
        is_set = bool(value) if operator.startswith(":") else value is not None
        match operator[-1]:
            case "-":
                return value or "" if is_set else self.text(word, path)
            case "+":
                return self.text(word, path) if is_set else ""
            case _:
                return self._required(name, value, self.text(word, path), path, is_set=is_set)

    def _required(self, name: str, value: str | None, told: str, path: str, *, is_set: bool) -> str:
        if not is_set:
            reason = f": {told}" if told else ""
            raise Invalid(
                f"{path}: required variable {name} is not set{reason}", hint=f"export {name}=…"
            )
        return value or ""

    def _plain(self, name: str) -> str:
        value = self._environ.get(name)
        if value is None and name not in self.unset:
            self.unset.append(name)
        return value or ""


def _braced(text: str, whole: str, path: str) -> tuple[str, str]:
    """What is before the closing brace, and what comes after it."""
    depth = 1
    for at, char in enumerate(text):
        if char == "{" and text[at - 1 : at] == "$":
            depth += 1
        elif char == "}":
            depth -= 1
        if not depth:
            return text[:at], text[at + 1 :]
    raise _unreadable(whole, path)


def _unreadable(text: str, path: str) -> Invalid:
    return Invalid(f"{path}: {text!r} has a variable that cannot be read", hint=_HINT)
