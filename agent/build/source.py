"""Cut a Dockerfile into instructions, and those into keyword, flags and the rest.

Comments vanish, also within an instruction that goes on over several lines; a line goes on if
it ends in the escape character. Directives are comments of the form `# escape=` that come before
everything else. A here-document belongs to the ADD, COPY or RUN whose line names it.
"""

import re
from collections.abc import Iterator

from msgspec import Struct

from agent.build.expansion import ESCAPE, expand_words, raw_words
from swarm.errors import Invalid

LARGEST = 4 << 20
DIRECTIVES = ("syntax", "escape", "check")
BLANKS = re.compile(r"[\t\v\f\r ]+")

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*\Z")
_HEREDOC = re.compile(r"\d*<<(-?)\s*([^<]+)\Z")
_LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)
_TAKES_HEREDOCS = ("ADD", "COPY", "RUN")


class Heredoc(Struct, frozen=True, kw_only=True):
    """A here-document. One whose name was quoted `expands` nothing; `chomps` takes tabs away."""

    name: str
    content: str = ""
    expands: bool = True
    chomps: bool = False

    @property
    def text(self) -> str:
        """What it says."""
        return _LEADING_TABS.sub("", self.content) if self.chomps else self.content


class Line(Struct, frozen=True, kw_only=True):
    """One instruction as it was written: `text` is all of it, joined into one line.

    `number` is that of its first line in the file.
    """

    number: int
    text: str
    keyword: str
    flags: tuple[str, ...] = ()
    rest: str = ""
    heredocs: tuple[Heredoc, ...] = ()


class Source(Struct, frozen=True, kw_only=True):
    """A Dockerfile's instructions; `escape` also hides characters within them."""

    escape: str
    lines: tuple[Line, ...]
    warnings: tuple[str, ...] = ()


def wrong(number: int, message: str) -> Invalid:
    """The error of an instruction that begins in line `number`."""
    return Invalid(f"dockerfile parse error line {number}: {message}")


def read(text: str, *, name: str = "Dockerfile") -> Source:
    """Cut `text`; `Invalid` names the line."""
    if not text:
        raise Invalid(f"the Dockerfile ({name}) cannot be empty")
    if len(text) > LARGEST:
        raise Invalid(f"{name} is longer than {LARGEST >> 20} MiB", hint="is it a Dockerfile?")
    reader = _Reader(text.removeprefix("\ufeff"))
    found = tuple(reader.read())
    if not found:
        raise Invalid(f"failed to parse {name}: file with no instructions")
    return Source(escape=reader.escape, lines=found, warnings=tuple(reader.warnings))


class _Reader:
    def __init__(self, text: str) -> None:
        self.escape = ESCAPE
        self.warnings: list[str] = []
        self._lines = _split(text)
        self._at = 0
        self._may_direct = True
        self._directives: set[str] = set()

    def read(self) -> Iterator[Line]:
        while self._at < len(self._lines):
            number = self._at + 1
            line = self._next().strip("\r\n").lstrip()
            if self._may_direct:
                self._direct(line, number)
            if line and not line.startswith("#"):
                joined = self._joined(line)
                if joined.strip():
                    yield self._instruction(joined, number)

    def _next(self) -> str:
        line = self._lines[self._at]
        self._at += 1
        return line

    def _direct(self, line: str, number: int) -> None:
        match = _DIRECTIVE.match(line)
        name = match[1].lower() if match else ""
        if match is None or name not in DIRECTIVES:
            self._may_direct = False
            return
        if name in self._directives:
            raise wrong(number, f"only one {name} parser directive can be used")
        self._directives.add(name)
        if name == "escape":
            if match[2] not in ("`", "\\"):
                raise wrong(number, f"invalid escape token '{match[2]}' does not match ` or \\")
            self.escape = match[2]

    def _joined(self, line: str) -> str:
        """`line` with all lines that it goes on in."""
        found, goes_on = self._without_mark(line)
        has_gap = False
        while goes_on and self._at < len(self._lines):
            more = self._next().strip("\r\n")
            if more.lstrip().startswith("#"):
                continue
            if not more.strip():
                has_gap = True
                continue
            more, goes_on = self._without_mark(more)
            found += more
        if has_gap:
            self.warnings.append(f"[WARNING]: Empty continuation line found in:\n    {found}")
        return found

    def _without_mark(self, line: str) -> tuple[str, bool]:
        """An escape at the end has the line go on, unless another one hides it."""
        bare = line.rstrip(" \t")
        if bare.endswith(self.escape) and not bare.endswith(self.escape * 2):
            return bare[:-1], True
        return line, False

    def _instruction(self, joined: str, number: int) -> Line:
        line = _cut(joined, number, self.escape)
        if "<<" not in joined or not _takes_heredocs(line):
            return line
        heredocs = tuple(self._heredoc(each, number) for each in _named(joined))
        return Line(
            number=number,
            text=line.text,
            keyword=line.keyword,
            flags=line.flags,
            rest=line.rest,
            heredocs=heredocs,
        )

    def _heredoc(self, named: Heredoc, number: int) -> Heredoc:
        content: list[str] = []
        while self._at < len(self._lines):
            line = self._next()
            bare = line.rstrip("\r\n")
            if (bare.lstrip("\t") if named.chomps else bare) == named.name:
                return Heredoc(
                    name=named.name,
                    content="".join(content),
                    expands=named.expands,
                    chomps=named.chomps,
                )
            content.append(line)
        raise wrong(number, f"unterminated heredoc: no line is {named.name!r}")


def _split(text: str) -> list[str]:
    """Lines with their ends; only a newline is one, whatever Unicode says."""
    return [f"{line}\n" for line in text.split("\n")[:-1]] + [
        line for line in (text.rpartition("\n")[2],) if line
    ]


def _cut(joined: str, number: int, escape: str) -> Line:
    text = joined.strip()
    keyword, *rest = BLANKS.split(text, maxsplit=1)
    flags, remaining = _flags(rest[0] if rest else "", escape)
    return Line(
        number=number, text=text, keyword=keyword.upper(), flags=flags, rest=remaining.strip()
    )


def _flags(text: str, escape: str) -> tuple[tuple[str, ...], str]:
    """The words with `--` at the beginning, without their quotes; and what follows them."""
    found: list[str] = []
    at = 0
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if not text.startswith("--", at):
            return tuple(found), text[at:]
        word, at = _flag(text, at, escape)
        if word == "--":
            return tuple(found), text[at:]
        found.append(word)


def _flag(text: str, at: int, escape: str) -> tuple[str, int]:
    word, quote = "", ""
    while at < len(text) and (quote or not text[at].isspace()):
        each = text[at]
        at += 1
        if each == quote:
            quote = ""
        elif each in "'\"" and not quote:
            quote = each
        elif each == escape:
            word += text[at : at + 1]
            at += 1
        else:
            word += each
    return word, at


def _takes_heredocs(line: Line) -> bool:
    keyword, rest = line.keyword, line.rest
    if keyword == "ONBUILD":
        keyword, _, rest = rest.partition(" ")
        keyword, rest = keyword.upper(), rest.strip()
    return keyword in _TAKES_HEREDOCS and not is_array(rest)


def is_array(text: str) -> bool:
    """Whether an instruction's arguments look like JSON; only decoding tells for sure."""
    return text.startswith("[") and text.endswith("]")


def _named(text: str) -> Iterator[Heredoc]:
    try:
        words = raw_words(text)
    except Invalid:
        return  # quotes that only the shell understands
    for word in words:
        if found := heredoc_of(word):
            yield found


def heredoc_of(word: str) -> Heredoc | None:
    """The here-document that a word such as `<<-"EOF"` announces."""
    match = _HEREDOC.match(word)
    if match is None:
        return None
    try:
        plain = expand_words(match[2], {})
    except Invalid:
        return None
    if len(plain) != 1:
        return None
    is_quoted = plain[0] != match[2]
    return Heredoc(name=plain[0], expands=not is_quoted, chomps=match[1] == "-")
