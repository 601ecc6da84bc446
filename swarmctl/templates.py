"""Fill in Go templates, as far as `--format` needs them.

Fields, pipelines of the functions that Docker offers, `if`, `range` and `with`. A field that a
table row does not have is a mistake in the template and is refused with the fields there are;
inside an inspected object it prints `<no value>`, because optional parts are left out there.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from swarm.errors import Invalid
from swarmctl.pipes import FUNCTIONS, Value, items, printed

_FUNCTION_HINT = f"there are {', '.join(FUNCTIONS)}"

_ACTION = re.compile(r"\{\{(- )?\s*(.*?)\s*( -)?\}\}", re.DOTALL)
_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|`[^`]*`|[()|]|[^\s()|"`]+)')


class Text(Struct, frozen=True):
    """Printed as it is."""

    text: str


class Print(Struct, frozen=True):
    """Prints what a pipeline yields."""

    pipeline: str


class Block(Struct, frozen=True, kw_only=True):
    """`if`, `range` or `with`."""

    kind: str
    pipeline: str
    body: tuple["Text | Print | Block", ...]
    otherwise: tuple["Text | Print | Block", ...]


Part = Text | Print | Block
Parts = tuple[Part, ...]


def render(template: str, value: Value) -> str:
    """`template` filled in with `value`; `Invalid` says what the template gets wrong."""
    pieces = _pieces(template)
    parts, end = _parse(pieces, ())
    assert end == ""
    return "".join(_run(parts, value, value))


def unescaped(template: str) -> str:
    """A template as typed in a shell, where a backslash and a t stand for a tab."""
    return template.replace("\\t", "\t").replace("\\n", "\n")


def fields(template: str) -> tuple[str, ...]:
    """The names of the fields that stand alone in an action, in order."""
    actions = (each[2] for each in _ACTION.finditer(template))
    return tuple(each[1:] for each in actions if re.fullmatch(r"\.[A-Za-z]\w*", each))


def _pieces(template: str) -> Iterator[tuple[str, str]]:
    at, trims = 0, False
    for action in _ACTION.finditer(template):
        text = template[at : action.start()]
        text = text.lstrip() if trims else text
        yield "text", text.rstrip() if action[1] else text
        yield "action", action[2]
        at, trims = action.end(), bool(action[3])
    rest = template[at:]
    if "{{" in rest:
        raise Invalid(f"template {template!r}: {{{{ is never closed", hint="write {{.Name}}")
    yield "text", rest.lstrip() if trims else rest


def _parse(
    pieces: Iterator[tuple[str, str]], until: tuple[str, ...]
) -> tuple[tuple[Part, ...], str]:
    parts: list[Part] = []
    for kind, text in pieces:
        word, _, rest = text.partition(" ")
        if kind == "text":
            parts.append(Text(text))
        elif text.startswith("/*"):
            continue
        elif word in ("if", "range", "with"):
            body, end = _parse(pieces, ("else", "end"))
            otherwise: Parts = ()
            if end == "else":
                otherwise, _ = _parse(pieces, ("end",))
            parts.append(Block(kind=word, pipeline=rest, body=body, otherwise=otherwise))
        elif word in ("else", "end"):
            if word not in until:
                raise Invalid(f"template: {{{{{text}}}}} closes nothing")
            return tuple(parts), word
        else:
            parts.append(Print(text))
    if until:
        raise Invalid("template: a block is never closed", hint="add {{end}}")
    return tuple(parts), ""


def _run(parts: Sequence[Part], dot: Value, root: Value) -> Iterator[str]:
    for part in parts:
        match part:
            case Text(text):
                yield text
            case Print(pipeline):
                yield printed(_evaluate(pipeline, dot, root))
            case Block():
                yield from _run_block(part, dot, root)


def _run_block(block: Block, dot: Value, root: Value) -> Iterator[str]:
    value = _evaluate(block.pipeline, dot, root)
    if not value:
        yield from _run(block.otherwise, dot, root)
    elif block.kind == "range":
        for each in items(value):
            yield from _run(block.body, each, root)
    else:
        yield from _run(block.body, value if block.kind == "with" else dot, root)


def _evaluate(pipeline: str, dot: Value, root: Value) -> Value:
    tokens: list[str] = []
    at = 0
    while at < len(pipeline.rstrip()):
        token = _TOKEN.match(pipeline, at)
        if token is None:
            raise Invalid(f"template: cannot read {pipeline[at:]!r}")
        tokens.append(token[1])
        at = token.end()
    value, rest = _pipeline(tokens, dot, root)
    if rest:
        raise Invalid(f"template: unexpected {rest[0]!r} in {pipeline!r}")
    return value


def _pipeline(tokens: list[str], dot: Value, root: Value) -> tuple[Value, list[str]]:
    piped: tuple[Value, ...] = ()
    while True:
        value, tokens = _command(tokens, piped, dot, root)
        if not tokens or tokens[0] != "|":
            return value, tokens
        tokens, piped = tokens[1:], (value,)


def _command(
    tokens: list[str], piped: tuple[Value, ...], dot: Value, root: Value
) -> tuple[Value, list[str]]:
    if not tokens or tokens[0] in "|)":
        raise Invalid("template: an action is empty", hint="write {{.Name}}")
    function = FUNCTIONS.get(tokens[0])
    values: list[Value] = []
    if function is not None:
        tokens = tokens[1:]
    while tokens and tokens[0] not in "|)":
        value, tokens = _operand(tokens, dot, root)
        values.append(value)
    if function is None:
        if len(values) != 1 or piped:
            raise Invalid("template: only functions take arguments", hint=_FUNCTION_HINT)
        return values[0], tokens
    try:
        return function(*values, *piped), tokens
    except (TypeError, ValueError, LookupError) as err:
        raise Invalid(f"template: wrong arguments for a function: {err}") from err


def _operand(tokens: list[str], dot: Value, root: Value) -> tuple[Value, list[str]]:
    token, rest = tokens[0], tokens[1:]
    if token == "(":
        value, rest = _pipeline(rest, dot, root)
        if not rest or rest[0] != ")":
            raise Invalid("template: a parenthesis is never closed")
        return value, rest[1:]
    if token.startswith("`"):
        return token[1:-1], rest
    if token.startswith('"'):
        return _quoted(token), rest
    if token.startswith("."):
        return _field(dot, token, root), rest
    if token.startswith("$"):
        return _field(root, token[1:] or ".", root), rest
    if token in ("true", "false"):
        return token == "true", rest
    if re.fullmatch(r"-?\d+", token):
        return int(token), rest
    raise Invalid(f"template: there is no function {token!r}", hint=_FUNCTION_HINT)


def _field(value: Value, path: str, root: Value) -> Value:
    for name in path.strip(".").split(".") if path != "." else ():
        if not isinstance(value, Mapping):
            return None
        if name not in value:
            if value is not root:
                return None
            known = ", ".join(f".{each}" for each in value)
            raise Invalid(f"template: there is no field .{name}", hint=f"there are {known}")
        value = value[name]
    return value


def _quoted(token: str) -> str:
    try:
        return str(json.loads(token))
    except ValueError as err:
        raise Invalid(f"template: cannot read the text {token}") from err
