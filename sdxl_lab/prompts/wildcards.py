"""Words of a prompt that are drawn: `{red|blue}` and `__colors__`, as Dynamic Prompts, an extension of AUTOMATIC1111's web UI, writes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate, count

from sdxl_lab.errors import LabError
from sdxl_lab.wording import counted

LinesOf = Callable[[str], Sequence[str]]
"""The lines of a list, by its name."""

Place = tuple[int, ...]
"""Where something is drawn: which brace or list of the prompt, from 0, and which of several; in a line of a list, also which line of which list."""

Draw = Callable[[Place], int]
"""A whole number for each place, from 0 and below `DRAWN_BELOW`."""

DRAWN_BELOW = 2**64
MOST_CHARACTERS = 100_000
"""Of a prompt whose words are drawn."""

DEEPEST = 20
"""Braces within braces, and lists that name lists, that are read."""

LIST_NAME = re.compile(r"[A-Za-z0-9][\w-]*(/[A-Za-z0-9][\w-]*)*")
"""What a list may be called: no path that leaves a folder."""

_TOKEN = re.compile(
    r"\\(?P<literal>[{}|])|(?P<variable>(?<!\$)\$\{)|(?P<mark>[{}|])|(?<!\w)__(?=[^\s_])(?P<list>[^{}|\n]*?[^\s_])__(?!\w)|[^\\${}|_]+|.", re.DOTALL
)
MOST_DRAWS = 10_000
"""Braces and lists that are drawn of for a prompt, those of the lists' lines included."""

LONGEST_NUMBER = 20
"""Digits of a weight, and of how many are drawn."""

_WEIGHT = re.compile(r"\s*(\d+\.?\d*|\.\d+)::")
_PICKS = re.compile(r"(?P<least>\d*)(?P<dash>-?)(?P<most>\d*)\$\$(?:(?P<between>[^$]*)\$\$)?")


class WildcardError(LabError):
    """A prompt that words cannot be drawn for."""


@dataclass(frozen=True)
class _List:
    """A list by its name: one of its lines."""

    number: int
    name: str


@dataclass(frozen=True)
class _Group:
    """What stands in braces.

    Attributes:
        number: Which brace or list of the text it is, from 0.
        options: Each with its weight.
        least: How many are drawn; None for one, without `$$`.
        most: None for all that there are.
        between: What is put between them.
    """

    number: int
    options: tuple[tuple[Fraction, Template], ...]
    least: int | None = None
    most: int | None = None
    between: str = ", "


Template = tuple["str | _List | _Group", ...]


def drawn(text: str, draw: Draw, lines_of: LinesOf) -> str:
    r"""Draw the words of a prompt.

    `{a|b}` is one of them, `{3::a|1::b}` a three times as often as b, `{2$$a|b|c}` two different ones in any order with a comma between, `{1-2$$ and
    $$a|b|c}` one or two with `and`. All may be nested, and an alternative may be empty; spaces count. `__name__` is a line of a list, which may hold
    braces and lists itself; `{2$$__name__}` are two different lines. `\{`, `\}` and `\|` are text.

    Args:
        text: The prompt.
        draw: Decides.
        lines_of: Of a list.

    Returns:
        The prompt without braces.

    Raises:
        WildcardError: A brace has no other, a list is not there, or there are fewer alternatives than are asked for.

    Examples:
        >>> drawn("a {red|blue} {small |}star", lambda place: 0, lines_of=lambda name: ())
        'a red small star'
    """
    return _Drawing(draw, lines_of).of(_parsed(text), ())


def check(text: str) -> None:
    """See whether words can be drawn for a prompt, as far as that shows without its lists.

    Args:
        text: The prompt.

    Raises:
        WildcardError: They cannot.
    """
    _parsed(text)


@dataclass(frozen=True)
class _Drawing:
    draw: Draw
    lines_of: LinesOf
    depth: int = 0
    drawn: Iterator[int] = field(default_factory=count)

    def of(self, template: Template, within: Place) -> str:
        text = "".join(piece if isinstance(piece, str) else self._of(piece, within) for piece in template)
        if len(text) > MOST_CHARACTERS:
            raise WildcardError(f"got more than {MOST_CHARACTERS:,} characters; draw fewer words")
        return text

    def _of(self, piece: _List | _Group, within: Place) -> str:
        if next(self.drawn) >= MOST_DRAWS:  # lists of lists, which may come from anywhere, grow fast
            raise WildcardError(f"got more than {MOST_DRAWS:,} braces and lists to draw of; draw fewer words")
        place = (*within, piece.number)
        if isinstance(piece, _List):
            left = self._lines(piece.name, place)
            return left[self._choice([weight for weight, _ in left], (*place, 0))][1]()
        left = [(weight, lambda option=option: self.of(option, within)) for weight, option in piece.options]
        if piece.least is None:
            return left[self._choice([weight for weight, _ in left], (*place, 0))][1]()
        if len(piece.options) == 1 and len(only := piece.options[0][1]) == 1 and isinstance(only[0], _List):
            left = self._lines(only[0].name, (*within, only[0].number))
        most = len(left) if piece.most is None else piece.most
        if (asked := max(piece.least, most)) > len(left):
            raise WildcardError(f"got {asked}$$ before {counted(len(left), 'alternative')}; ask for fewer, or add some")
        picked = piece.least + self._choice([Fraction(1)] * (most - piece.least + 1), place)
        return piece.between.join(left.pop(self._choice([weight for weight, _ in left], (*place, index)))[1]() for index in range(picked))

    def _lines(self, name: str, place: Place) -> list[tuple[Fraction, Callable[[], str]]]:
        if self.depth == DEEPEST:
            raise WildcardError(f"got “__{name}__” in {DEEPEST} lists within each other; take it out of one of them")
        below = replace(self, depth=self.depth + 1)

        def of_line(index: int, line: str) -> str:
            try:
                return below.of(_parsed(line), (*place, index))
            except WildcardError as error:
                raise WildcardError(f"list {name}, “{_quoted(line)}”: {error}") from None

        return [(Fraction(1), lambda index=index, line=line: of_line(index, line)) for index, line in enumerate(self.lines_of(name))]

    def _choice(self, weights: Sequence[Fraction], place: Place) -> int:
        """The index of one of some weights, exactly as often as they say, whatever machine computes it."""
        if len(weights) == 1:
            return 0
        point = Fraction(self.draw(place), DRAWN_BELOW) * sum(weights)
        return next(index for index, total in enumerate(accumulate(weights)) if point < total)


@lru_cache(maxsize=10_000)
def _parsed(text: str) -> Template:
    return _Parser(text).template()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_TOKEN.finditer(text))
        self._next = 0
        self._number = 0

    def template(self) -> Template:
        found = self._pieces(opened=None, depth=0)
        if self._next < len(self._tokens):  # only a closing brace ends it before
            rest = self._text[self._tokens[self._next].start() :]
            raise WildcardError(rf"got “{_quoted(rest)}”, whose brace closes nothing; open it, or write \}} for a brace that is text")
        return found

    def _pieces(self, *, opened: int | None, depth: int) -> Template:
        """Up to what ends an alternative, or at the top the text."""
        pieces: list[str | _List | _Group] = []
        while self._next < len(self._tokens):
            token = self._tokens[self._next]
            if token["variable"]:
                raise WildcardError(
                    rf"got “{_quoted(self._text[token.start() :])}”; variables are not there: write the words, or $\{{ for a brace that is text"
                )
            if token["mark"] == "}" or (token["mark"] == "|" and opened is not None):
                break
            self._next += 1
            if token["mark"] == "{":
                pieces.append(self._group(token.start(), depth + 1))
            elif token["list"]:
                pieces.append(_List(self._numbered(), token["list"]))
            else:
                said = token["literal"] or token[0]
                pieces[-1:] = [pieces[-1] + said] if pieces and isinstance(pieces[-1], str) else [*pieces[-1:], said]
        return tuple(pieces)

    def _group(self, start: int, depth: int) -> _Group:
        if depth > DEEPEST:
            raise WildcardError(f"got more than {DEEPEST} braces within each other; write fewer")
        number, options = self._numbered(), []
        while True:
            options.append(self._pieces(opened=start, depth=depth))
            if self._next == len(self._tokens):
                raise WildcardError(
                    rf"got “{_quoted(self._text[start:])}”, whose brace is never closed; close it, or write \{{ for a brace that is text"
                )
            self._next += 1
            if self._tokens[self._next - 1]["mark"] == "}":
                break
        least, most, between, options[0] = self._picks(start, options[0])
        weighed = tuple((weight, option) for weight, option in map(_weighed, options) if weight)
        if not weighed:
            raise WildcardError(f"got “{_quoted(self._text[start:])}”, where nothing may be drawn; give an alternative a weight above 0")
        return _Group(number, weighed, least, most, between)

    def _picks(self, start: int, first: Template) -> tuple[int | None, int | None, str, Template]:
        match = _PICKS.match(first[0]) if first and isinstance(first[0], str) else None
        if match is None:
            return None, None, "", first
        least = int(_written(match["least"] or "1"))
        most = int(_written(match["most"])) if match["most"] else None if match["dash"] else least
        if not (match["least"] or match["most"]) or (most is not None and most < least):
            raise WildcardError(f"got “{_quoted(self._text[start:])}”; allowed before $$ is how many, such as 2$$ or 1-3$$")
        rest = str(first[0])[match.end() :]
        return least, most, ", " if match["between"] is None else match["between"], (*([rest] if rest else []), *first[1:])

    def _numbered(self) -> int:
        self._number += 1
        return self._number - 1


def _weighed(option: Template) -> tuple[Fraction, Template]:
    match = _WEIGHT.match(option[0]) if option and isinstance(option[0], str) else None
    if match is None:
        return Fraction(1), option
    rest = str(option[0])[match.end() :]
    return Fraction(_written(match[1])), (*([rest] if rest else []), *option[1:])


def _written(number: str) -> str:
    """A number, which Python reads up to some thousand digits."""
    if len(number) > LONGEST_NUMBER:
        raise WildcardError(f"got a number of {len(number):,} digits; write one of at most {LONGEST_NUMBER}")
    return number


def _quoted(text: str, longest: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
