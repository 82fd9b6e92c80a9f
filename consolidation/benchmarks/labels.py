"""Where the names of a plot's marks go: beside them, on nothing else. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

LINE = 15.0  # height of a label
CHARACTER = 6.7  # width of a character at 12 px; a little more than most system fonts need
GAP = 9.0  # from a mark's centre to its label


class Box(NamedTuple):
    """Left, top, right, bottom in the picture's units."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        return (
            self.left < other.right and other.left < self.right
            and self.top < other.bottom and other.top < self.bottom
        )  # fmt: skip

    def inside(self, other: Box) -> bool:
        return (
            self.left >= other.left and self.right <= other.right
            and self.top >= other.top and self.bottom <= other.bottom
        )  # fmt: skip


class Mark(NamedTuple):
    """A mark's centre, half the height of its bar, and what is written beside it."""

    x: float
    y: float
    reach: float
    text: str

    @property
    def box(self) -> Box:
        half = max(6.0, self.reach)
        return Box(self.x - 6, self.y - half, self.x + 6, self.y + half)


class Label(NamedTuple):
    """`anchor`: "start" or "end" at x; `box`: the room it takes; `far`: whether a line must lead to it."""

    x: float
    y: float
    anchor: str
    box: Box
    far: bool


def place_labels(marks: Sequence[Mark], frame: Box) -> list[Label]:
    """One label a mark, in their order: the nearest free place to the right, then to the left, then above or
    below with a line to it. Labels meet neither each other nor any mark, while `frame` has room for that.
    """
    taken = [mark.box for mark in marks]
    found: list[Label] = []
    for mark in marks:
        choices = list(_places(mark, frame))
        free = (c for c in choices if c.box.inside(frame) and not any(c.box.meets(b) for b in taken))
        chosen = next(free, choices[0])
        taken.append(chosen.box)
        found.append(chosen)
    return found


def _places(mark: Mark, frame: Box) -> Iterable[Label]:
    width = CHARACTER * len(mark.text)
    steps = int((frame.bottom - frame.top) / 4)
    shifts = [0.0] + [sign * 4.0 * n for n in range(1, steps) for sign in (-1.0, 1.0)]
    for shift in shifts:
        far = abs(shift) > LINE
        gap = GAP + (8.0 if far else 0.0)
        top = mark.y + shift - LINE / 2
        for side in (1, -1):
            x = mark.x + side * gap
            left = x if side > 0 else x - width
            yield Label(
                x, mark.y + shift + 4, "start" if side > 0 else "end",
                Box(left, top, left + width, top + LINE), far,
            )  # fmt: skip
