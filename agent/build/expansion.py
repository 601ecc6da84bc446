"""Fill variables into the words of a Dockerfile, as its own small shell does.

It is not the POSIX shell: a value is never split into words (but where `expand_words` is asked
for), an unknown name is empty, and a backslash in double quotes stays unless it hides a quote, a
dollar or itself. `${NAME:-x}`, `:+` and `:?` are known, without the colon too, and `#`, `##`, `%`,
`%%`, `/` and `//`.

A few lines can ask for more than any memory holds, each variable some times in the next one. What
comes out is bounded, and so is the work that patterns make.
"""

from collections.abc import Callable, Iterable, Mapping

from agent.build.globbing import prefixes, suffixes
from swarm.errors import Invalid

ESCAPE = "\\"
LARGEST = 4 << 20  # characters, of all that one instruction becomes
_MOST_WORK = 1 << 24  # characters that patterns are compared with
_SPECIAL = "@*#?-$!0"


def expand(word: str, values: Mapping[str, str], *, escape: str = ESCAPE) -> str:
    """`word` without its quotes and with its variables filled in; `Invalid` says what is wrong."""
    return _Scanner(word, values, escape).result()


def filler(values: Mapping[str, str], escape: str) -> Callable[[str], str]:
    """What expands the words of one instruction, as long as that does not grow beyond `LARGEST`."""
    total = 0

    def fill(word: str) -> str:
        nonlocal total
        found = expand(word, values, escape=escape)
        total += len(found)
        _bound(total)
        return found

    return fill


def expand_words(text: str, values: Mapping[str, str], *, escape: str = ESCAPE) -> tuple[str, ...]:
    """The same, split at blanks afterwards: those of quotes do not count, those of values do."""
    return _Scanner(text, values, escape).words()


def expand_text(text: str, values: Mapping[str, str]) -> str:
    """Fill variables into a whole text, whose quotes are its own."""
    return _Scanner(text, values, ESCAPE, keeps_quotes=True).result()


def raw_words(text: str) -> tuple[str, ...]:
    """Split at blanks outside of quotes, and change nothing else."""
    return _Scanner(text, None, ESCAPE, is_raw=True).words()


class _Scanner:
    """One pass over one text. Without `values` nothing is filled in."""

    def __init__(
        self,
        text: str,
        values: Mapping[str, str] | None,
        escape: str,
        *,
        is_raw: bool = False,
        keeps_quotes: bool = False,
    ) -> None:
        self._text = text
        self._at = 0
        self._values = values
        self._escape = escape
        self._is_raw = is_raw
        self._keeps_quotes = keeps_quotes

    def result(self) -> str:
        return self._joined(self._all())

    def words(self) -> tuple[str, ...]:
        """Pieces that may be split are split; quoted blanks hold a word together."""
        found, word = list[str](), list[str]()
        pieces = self._all()
        _bound(sum(len(text) for text, _ in pieces))
        for text, is_fixed in pieces:
            if is_fixed:
                word.append(text)
                continue
            for each in text:
                if not each.isspace():
                    word.append(each)
                elif word:
                    found.append("".join(word))
                    word.clear()
        return tuple(each for each in (*found, "".join(word)) if each)

    def _all(self) -> list[tuple[str, bool]]:
        try:
            return self._until("", is_raw=self._is_raw)
        except Invalid as err:
            raise Invalid(f'failed to process "{self._text}": {err.message}') from err

    @staticmethod
    def _joined(pieces: Iterable[tuple[str, bool]]) -> str:
        texts = [text for text, _ in pieces]
        _bound(sum(map(len, texts)))
        return "".join(texts)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        found = self._peek()
        self._at += 1
        return found

    def _until(self, stop: str, *, is_raw: bool) -> list[tuple[str, bool]]:
        """Pieces up to `stop`, each with whether its blanks belong to a word."""
        pieces: list[tuple[str, bool]] = []
        while each := self._peek():
            if each == stop:
                self._next()
                return pieces
            if each == "$":
                pieces.append((self._dollar(), False))
            elif each == "'" and not self._keeps_quotes:
                pieces.append((self._single(), True))
            elif each == '"' and not self._keeps_quotes:
                pieces.append((self._double(is_raw=is_raw), True))
            elif each == "<":
                pieces.append((self._maybe_heredoc(), True))
            elif each == self._escape:
                pieces.append((self._escaped(is_raw=is_raw), True))
            else:
                pieces.append((self._next(), False))
        if stop:
            raise Invalid(f"unexpected end of statement while looking for matching {stop}")
        return pieces

    def _escaped(self, *, is_raw: bool) -> str:
        mark = self._next()
        return (mark if is_raw else "") + self._next()

    def _maybe_heredoc(self) -> str:
        """`<<` and the blanks behind it stay together with the name that follows."""
        found = self._next()
        if self._peek() != "<":
            return found
        found += self._next()
        while self._peek() and self._peek() in " \t\r":
            found += self._next()
        return found

    def _single(self) -> str:
        quote = self._next()
        end = self._text.find("'", self._at)
        if end < 0:
            raise Invalid("unexpected end of statement while looking for matching single-quote")
        inside, self._at = self._text[self._at : end], end + 1
        return f"{quote}{inside}{quote}" if self._is_raw else inside

    def _double(self, *, is_raw: bool) -> str:
        quote = self._next()
        found = quote if self._is_raw else ""
        while (each := self._peek()) != '"':
            if not each:
                raise Invalid("unexpected end of statement while looking for matching double-quote")
            if each == "$":
                found += self._dollar()
                _bound(len(found))
                continue
            self._next()
            if each == self._escape:
                found += each if is_raw else ""
                hidden = self._peek()
                if not hidden:
                    continue
                if hidden in ('"', "$", self._escape):
                    each = self._next()
            found += each
        self._next()
        return found + quote if self._is_raw else found

    def _dollar(self) -> str:
        self._next()
        if self._peek() != "{":
            name = self._name()
            if not name:
                return "$"
            return f"${name}" if self._values is None else self._values.get(name, "")
        self._next()
        if not self._peek():
            raise Invalid("syntax error: missing '}'")
        if self._peek() in "{}:":
            raise Invalid("syntax error: bad substitution")
        return self._braced(self._name())

    def _name(self) -> str:
        first = self._peek()
        if first and first in _SPECIAL and not first.isdigit():
            return self._next()
        start = self._at
        if first.isdigit():
            while self._peek().isdigit():
                self._at += 1
        else:
            while self._peek().isalnum() or self._peek() == "_":
                self._at += 1
        return self._text[start : self._at]

    def _braced(self, name: str) -> str:
        value = None if self._values is None else self._values.get(name)
        operator = self._next()
        if operator == "}":
            return f"${{{name}}}" if self._values is None else value or ""
        if operator == "/":
            return self._replaced(name, value)
        if not operator:
            raise Invalid("syntax error: missing '}'")
        if operator == ":":
            operator += self._next()
        if operator not in ("-", "+", "?", "#", "%", ":-", ":+", ":?"):
            raise Invalid(f"unsupported modifier ({operator}) in substitution")
        word = self._rest("}", is_raw=operator in "#%")
        if self._values is None:
            return f"${{{name}{operator}{word}}}"
        is_given = bool(value) if operator[0] == ":" else value is not None
        match operator[-1]:
            case "-":
                return (value or "") if is_given else word
            case "+":
                return word if is_given else ""
            case "?":
                if not is_given:
                    what = "empty" if value is not None else "unset"
                    raise Invalid(f"{name}: {word or f'is not allowed to be {what}'}")
                return value or ""
            case _:
                return _trimmed(operator, word, value or "")

    def _replaced(self, name: str, value: str | None) -> str:
        is_all = self._peek() == "/"
        self._at += is_all
        pattern = self._rest("/", is_raw=True)
        replacement = self._rest("}", is_raw=True)
        if self._values is None:
            return f"${{{name}/{'/' * is_all}{pattern}/{replacement}}}"
        return _replace(value or "", pattern, replacement, is_all=is_all)

    def _rest(self, stop: str, *, is_raw: bool) -> str:
        try:
            pieces = self._until(stop, is_raw=is_raw)
        except Invalid:
            if self._peek():
                raise
            raise Invalid(f"syntax error: missing '{stop}'") from None
        return self._joined(pieces)


def _trimmed(operator: str, word: str, value: str) -> str:
    """`value` without its shortest (`#`, `%`) or longest (doubled) matching beginning or end."""
    is_longest = word.startswith(operator)
    pattern = word[is_longest:]
    _bound_work(len(value) * len(pattern))
    found = prefixes(pattern, value) if operator == "#" else suffixes(pattern, value)
    if not found:
        return value
    length = max(found) if is_longest else min(found)
    return value[length:] if operator == "#" else value[: len(value) - length]


def _replace(value: str, pattern: str, replacement: str, *, is_all: bool) -> str:
    """Replace the longest match at the first place that has one, or at every one."""
    if pattern and not set(pattern) & set("*?\\"):
        count = value.count(pattern) if is_all else 1
        _bound(len(value) + count * len(replacement))
        return value.replace(pattern, replacement, -1 if is_all else 1)
    _bound_work(len(value) ** 2 * len(pattern))
    found, at = "", 0
    while at <= len(value):
        lengths = prefixes(pattern, value[at:])
        longest = max(lengths, default=0)
        if longest:
            found, at = found + replacement, at + longest
            _bound(len(found))
            if not is_all:
                break
        else:
            found, at = found + value[at : at + 1], at + 1
    return found + value[at:]


def _bound(length: int) -> None:
    if length > LARGEST:
        raise Invalid(
            f"its variables make it longer than {LARGEST >> 20} MiB", hint="use shorter values"
        )


def _bound_work(length: int) -> None:
    if length > _MOST_WORK:
        raise Invalid("a value is too long for a pattern", hint="use a shorter one")
