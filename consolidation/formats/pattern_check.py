"""Whether a regular expression could take for ever; judged by its form, never compiled and never run.

A repetition of something that itself can be cut in several ways ("(a+)+", "(a|a)*") takes time that doubles
with every letter (Davis et al. 2018). The forms that tokenizers use have none; what is not understood is
refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

MOST_LETTERS: Final = 4000
_MOST_DEPTH: Final = 32
# Repetitions side by side cost a power of the length, so many at most in one branch.
_MOST_UNBOUNDED: Final = 4
_MOST_TIMES: Final = 1000
# A group that is repeated so often counts as endless.
_OFTEN: Final = 10

_ESCAPE: Final = re.compile(
    r"\\(?:[pP]\{\^?[\w=&: -]{1,60}\}|x\{[0-9a-fA-F]{1,8}\}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[^0-9kgGXKpP])",
    re.DOTALL,
)
_OPEN: Final = re.compile(r"\((?:\?(?:[imsx-]*:|=|!|<=|<!|>|#|<[A-Za-z_]\w*>))?")
_FLAGS: Final = re.compile(r"\(\?[imsx-]+\)")
_TIMES: Final = re.compile(r"(?:([*+?])|\{(\d{0,4})(?:(,)(\d{0,4}))?\})([?+]?)")
_LETTER: Final = re.compile(r"\\[^A-Za-z0-9]|[^\\.\[(^$]", re.DOTALL)


class _Odd(Exception):
    """Says why."""


@dataclass
class _Group:
    """What is known of an open group: how its branches begin, and what in it is not fixed."""

    repeatable: bool = True
    starts: list[str] = field(default_factory=lambda: [""])
    optional: list[bool] = field(default_factory=lambda: [True])
    varies: bool = False
    unbounded: int = 0
    worst: int = 0

    def add(self, token: str, least: int) -> None:
        """One more thing in the last branch."""
        if not self.starts[-1]:
            self.starts[-1] = token
        self.optional[-1] = self.optional[-1] and least == 0

    def branch(self) -> None:
        self.starts.append("")
        self.optional.append(True)
        self.worst, self.unbounded = max(self.worst, self.unbounded), 0

    def ambiguous(self) -> bool:
        """Whether one text could be read in two ways when the group is repeated."""
        if self.varies or any(self.optional):
            return True
        if len(self.starts) == 1:
            return False
        letters = [start.casefold() for start in self.starts]
        return len(set(letters)) < len(letters) or not all(_LETTER.fullmatch(one) for one in letters)


def danger(pattern: str) -> str:
    """Why a pattern is not believed, as the end of a sentence; "" for one that is quick."""
    if len(pattern) > MOST_LETTERS:
        return f"has {len(pattern):,} letters, more than {MOST_LETTERS:,}"
    try:
        _read(pattern)
    except _Odd as error:
        return str(error)
    return ""


def _read(pattern: str) -> None:
    groups, place = [_Group()], 0
    while place < len(pattern):
        letter, inner = pattern[place], None
        if letter == "(":
            flags = _FLAGS.match(pattern, place)
            if flags:
                place = flags.end()
                continue
            place = _open(pattern, place, groups)
            continue
        if letter == "|":
            groups[-1].branch()
            place += 1
            continue
        token = letter
        if letter == ")":
            if len(groups) == 1:
                raise _Odd("closes a group that is not open")
            inner = groups.pop()
            place += 1
        else:
            token = _token(pattern, place)
            place += len(token)
        least, most, place = _times(pattern, place)
        _count(groups[-1], inner, least, most)
        groups[-1].add(token if inner is None else "(", least if inner is None or inner.repeatable else 0)
    if len(groups) > 1:
        raise _Odd("leaves a group open")


def _open(pattern: str, place: int, groups: list[_Group]) -> int:
    found = _OPEN.match(pattern, place)
    if found is None or (pattern.startswith("(?", place) and found.end() == place + 1):
        raise _Odd("has a group of a kind that is not known")
    if len(groups) >= _MOST_DEPTH:
        raise _Odd(f"is nested deeper than {_MOST_DEPTH} levels")
    # A look ahead or back takes no letters, so it does not make a branch longer.
    groups.append(_Group(repeatable=found[0] not in {"(?=", "(?!", "(?<=", "(?<!", "(?#"}))
    return found.end()


def _token(pattern: str, place: int) -> str:
    """One letter, escape or class."""
    if pattern[place] == "\\":
        found = _ESCAPE.match(pattern, place)
        if found is None:
            raise _Odd("refers back to what it has found, or has an escape that is not known")
        return found[0]
    return pattern[place : _class_end(pattern, place)] if pattern[place] == "[" else pattern[place]


def _class_end(pattern: str, place: int) -> int:
    """The place behind a class [...]; classes may lie in each other."""
    level, at = 0, place
    while at < len(pattern):
        if pattern[at] == "\\":
            at += 2
            continue
        if pattern[at] == "[":
            level += 1
            # A bracket right at the beginning stands for itself.
            at += 1 + pattern.startswith("^", at + 1)
            at += pattern.startswith("]", at)
            continue
        at += 1
        if pattern[at - 1] == "]":
            level -= 1
            if level == 0:
                return at
    raise _Odd("leaves a class of letters open")


def _times(pattern: str, place: int) -> tuple[int, int | None, int]:
    """(least, most or None, the place behind) of the repetition that follows; once, where none does."""
    found = _TIMES.match(pattern, place)
    if found is None or (found[1] is None and not (found[2] or found[4])):
        return 1, 1, place
    if found[1]:
        least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[found[1]]
    else:
        least = int(found[2] or 0)
        most = (int(found[4]) if found[4] else None) if found[3] else least
    if _TIMES.match(pattern, found.end()):
        raise _Odd("repeats a repetition")
    if max(least, most or 0) > _MOST_TIMES:
        raise _Odd(f"repeats something more than {_MOST_TIMES:,} times")
    return least, most, found.end()


def _count(outer: _Group, inner: _Group | None, least: int, most: int | None) -> None:
    """What a repetition, and what was repeated, mean for the group around them."""
    endless = most is None
    if inner is not None:
        inner.worst = max(inner.worst, inner.unbounded)
        if (endless or (most or 0) >= _OFTEN) and inner.ambiguous():
            raise _Odd("repeats a group that can be read in several ways")
        outer.varies = outer.varies or inner.varies or (len(inner.starts) > 1 and inner.ambiguous())
        outer.unbounded += inner.worst * (most or 1)
    outer.varies = outer.varies or least != most
    outer.unbounded += endless
    if outer.unbounded > _MOST_UNBOUNDED:
        raise _Odd("has too many endless repetitions side by side")
