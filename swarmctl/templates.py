"""Fill in Go templates, as far as `--format` needs them.

Fields, variables, pipelines of the functions that Docker offers, `if`, `range` and `with`. A
field that a table row does not have is a mistake in the template and is refused with the fields
there are; inside an inspected object, and where the object may leave it out, it prints
`<no value>`.
"""

import json
import re
from collections import ChainMap
from collections.abc import Collection, Iterator, Mapping, Sequence

from msgspec import Struct, structs

from swarm.errors import Invalid
from swarmctl.pipes import FUNCTIONS, Value, entries, printed

_FUNCTION_HINT = f"there are {', '.join(FUNCTIONS)}"

_ACTION = re.compile(r"\{\{(- )?\s*(.*?)\s*( -)?\}\}", re.DOTALL)
_DECLARED = re.compile(r"\s*\$(\w+)(?:\s*,\s*\$(\w+))?\s*(:?=)\s*")
_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|`[^`]*`|[()|]|[^\s()|"`]+)')


class Text(Struct, frozen=True):
    """Printed as it is."""

    text: str


class Print(Struct, frozen=True):
    """Prints what a pipeline yields, unless that is kept in a variable."""

    pipeline: str


class Block(Struct, frozen=True, kw_only=True):
    """`if`, `range` or `with`."""

    kind: str
    pipeline: str
    body: tuple["Text | Print | Block", ...]
    otherwise: tuple["Text | Print | Block", ...]


Part = Text | Print | Block
Parts = tuple[Part, ...]


class Scope(Struct, frozen=True, kw_only=True):
    """What names mean at one place of a template: `.`, `$` and the variables."""

    dot: Value
    root: Value
    optional: Collection[str]
    variables: ChainMap[str, Value]

    def inside(self, dot: Value) -> "Scope":
        """The scope of a block about `dot`; variables that it declares end with it."""
        return structs.replace(self, dot=dot, variables=self.variables.new_child())

    def declare(self, name: str, value: Value) -> None:
        """`$name := value`."""
        self.variables[name] = value

    def assign(self, name: str, value: Value) -> None:
        """`$name = value`, wherever it was declared."""
        self.variable(name)
        next(each for each in self.variables.maps if name in each)[name] = value

    def variable(self, name: str) -> Value:
        """The value of `$name`; `Invalid` when there is none."""
        if name not in self.variables:
            raise Invalid(
                f"template: there is no variable ${name}",
                hint=f"declare it: {{{{${name} := .ID}}}}",
            )
        return self.variables[name]


def render(template: str, value: Value, *, optional: Collection[str] = ()) -> str:
    """`template` filled in with `value`, which may leave out its `optional` fields.

    `Invalid` says what the template gets wrong.
    """
    parts, end = _parse(_pieces(template), ())
    assert end == ""
    scope = Scope(dot=value, root=value, optional=optional, variables=ChainMap())
    return "".join(_run(parts, scope))


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
    """The parts up to the action that ends them, and that action."""
    parts: list[Part] = []
    for kind, text in pieces:
        word, _, rest = text.partition(" ")
        if kind == "text":
            parts.append(Text(text))
        elif text.startswith("/*"):
            continue
        elif word in ("if", "range", "with"):
            parts.append(_block(word, rest, pieces))
        elif word in ("else", "end"):
            if word not in until:
                raise Invalid(f"template: {{{{{text}}}}} closes nothing")
            return tuple(parts), text
        else:
            parts.append(Print(text))
    if until:
        raise Invalid("template: a block is never closed", hint="add {{end}}")
    return tuple(parts), ""


def _block(kind: str, pipeline: str, pieces: Iterator[tuple[str, str]]) -> Block:
    body, end = _parse(pieces, ("else", "end"))
    otherwise: Parts = ()
    word, _, other = end.partition(" ")
    if other.strip():
        other_kind, _, other_pipeline = other.strip().partition(" ")
        if word == "end" or other_kind not in ("if", "with"):
            raise Invalid(f"template: cannot read {{{{{end}}}}}", hint="write {{else if .Name}}")
        otherwise = (_block(other_kind, other_pipeline, pieces),)
    elif word == "else":
        otherwise, _ = _parse(pieces, ("end",))
    return Block(kind=kind, pipeline=pipeline, body=body, otherwise=otherwise)


def _run(parts: Sequence[Part], scope: Scope) -> Iterator[str]:
    for part in parts:
        match part:
            case Text(text):
                yield text
            case Print(pipeline):
                yield from _print(pipeline, scope)
            case Block():
                yield from _run_block(part, scope)


def _print(pipeline: str, scope: Scope) -> Iterator[str]:
    names, pipeline, is_new = _declaration(pipeline)
    value = _evaluate(pipeline, scope)
    if not names:
        yield printed(value)
        return
    _check_single(names)
    for name in names:
        if is_new:
            scope.declare(name, value)
        else:
            scope.assign(name, value)


def _run_block(block: Block, scope: Scope) -> Iterator[str]:
    names, pipeline, _ = _declaration(block.pipeline)
    value = _evaluate(pipeline, scope)
    if not value:
        yield from _run(block.otherwise, scope.inside(scope.dot))
    elif block.kind == "range":
        for key, each in entries(value):
            yield from _run(block.body, _bound(scope.inside(each), names, (key, each)))
    else:
        _check_single(names)
        inside = scope.inside(value if block.kind == "with" else scope.dot)
        yield from _run(block.body, _bound(inside, names, (None, value)))


def _bound(scope: Scope, names: Sequence[str], pair: tuple[Value, Value]) -> Scope:
    """One variable is the value, of two the first is its key."""
    for name, value in zip(names, pair[-len(names) :] if names else (), strict=True):
        scope.declare(name, value)
    return scope


def _check_single(names: Sequence[str]) -> None:
    if len(names) > 1:
        raise Invalid("template: two variables are for range", hint="declare one at a time")


def _declaration(pipeline: str) -> tuple[tuple[str, ...], str, bool]:
    """The variables that `pipeline` sets, what they are set to, and whether they are new."""
    found = _DECLARED.match(pipeline)
    if found is None:
        return (), pipeline, False
    names = tuple(each for each in found.groups()[:2] if each)
    return names, pipeline[found.end() :], found[3] == ":="


def _evaluate(pipeline: str, scope: Scope) -> Value:
    tokens: list[str] = []
    at = 0
    while at < len(pipeline.rstrip()):
        token = _TOKEN.match(pipeline, at)
        if token is None:
            raise Invalid(f"template: cannot read {pipeline[at:]!r}")
        tokens.append(token[1])
        at = token.end()
    value, rest = _pipeline(tokens, scope)
    if rest:
        raise Invalid(f"template: unexpected {rest[0]!r} in {pipeline!r}")
    return value


def _pipeline(tokens: list[str], scope: Scope) -> tuple[Value, list[str]]:
    piped: tuple[Value, ...] = ()
    while True:
        value, tokens = _command(tokens, piped, scope)
        if not tokens or tokens[0] != "|":
            return value, tokens
        tokens, piped = tokens[1:], (value,)


def _command(tokens: list[str], piped: tuple[Value, ...], scope: Scope) -> tuple[Value, list[str]]:
    if not tokens or tokens[0] in "|)":
        raise Invalid("template: an action is empty", hint="write {{.Name}}")
    function = FUNCTIONS.get(tokens[0])
    values: list[Value] = []
    if function is not None:
        tokens = tokens[1:]
    while tokens and tokens[0] not in "|)":
        value, tokens = _operand(tokens, scope)
        values.append(value)
    if function is None:
        if len(values) != 1 or piped:
            raise Invalid("template: only functions take arguments", hint=_FUNCTION_HINT)
        return values[0], tokens
    try:
        return function(*values, *piped), tokens
    except (TypeError, ValueError, LookupError) as err:
        raise Invalid(f"template: wrong arguments for a function: {err}") from err


def _operand(tokens: list[str], scope: Scope) -> tuple[Value, list[str]]:
    token, rest = tokens[0], tokens[1:]
    if token == "(":
        value, rest = _pipeline(rest, scope)
        if not rest or rest[0] != ")":
            raise Invalid("template: a parenthesis is never closed")
        return value, rest[1:]
    if token.startswith("`"):
        return token[1:-1], rest
    if token.startswith('"'):
        return _quoted(token), rest
    if token.startswith("."):
        return _field(scope.dot, token, scope), rest
    if token.startswith("$"):
        name, dot, path = token[1:].partition(".")
        value = scope.variable(name) if name else scope.root
        return _field(value, f"{dot}{path}" or ".", scope), rest
    if token in ("true", "false", "nil"):
        return None if token == "nil" else token == "true", rest
    if re.fullmatch(r"-?\d+", token):
        return int(token), rest
    raise Invalid(f"template: there is no function {token!r}", hint=_FUNCTION_HINT)


def _field(value: Value, path: str, scope: Scope) -> Value:
    for name in path.strip(".").split(".") if path != "." else ():
        if not isinstance(value, Mapping):
            return None
        if name not in value:
            if value is not scope.root or name in scope.optional:
                return None
            known = ", ".join(f".{each}" for each in (*value, *scope.optional))
            raise Invalid(f"template: there is no field .{name}", hint=f"there are {known}")
        value = value[name]
    return value


def _quoted(token: str) -> str:
    try:
        return str(json.loads(token))
    except ValueError as err:
        raise Invalid(f"template: cannot read the text {token}") from err
