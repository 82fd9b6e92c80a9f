"""Playing the queue ahead: which worker takes which cycle when, if every cycle lasts as long as it is given.

Knows no database and no clock: seconds from now, in and out. It takes cycles as webapp/cycles/claim.py does:
the oldest that the device can run, of a project of which nothing runs.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections import defaultdict, deque
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

# What happens in the same moment: a project is free before the worker that freed it looks for the next cycle.
_PROJECT: Final = 0
_HAND: Final = 1


@dataclass(frozen=True, slots=True)
class Asks:
    """What a cycle asks of a worker: a kind of device ("" is any), bytes of memory (0: not known)."""

    device: str = ""
    memory_bytes: int = 0
    protocol: int = 1


@dataclass(frozen=True, slots=True)
class Hand:
    """A worker as far as it matters here; memory 0 is not known, and then everything fits."""

    device: str
    memory_bytes: int = 0
    protocol: int = 1

    def can_take(self, asks: Asks) -> bool:
        """Whether its claim would find such a cycle."""
        return (
            asks.protocol == self.protocol
            and asks.device in {"", self.device}
            and (self.memory_bytes == 0 or asks.memory_bytes <= self.memory_bytes)
        )


@dataclass(frozen=True, slots=True)
class Job:
    """A waiting cycle, and how many seconds it takes once it has begun (infinity: nobody knows)."""

    key: Hashable
    project: Hashable
    asks: Asks
    lasts: float


@dataclass(frozen=True, slots=True)
class Start:
    """When a job begins, in seconds, and on which of the hands."""

    at: float
    hand: int


def simulate(
    hands: Sequence[tuple[Hand, float]], jobs: Sequence[Job], busy: Mapping[Hashable, float]
) -> dict[Hashable, Start]:
    """Play it to its end.

    Args:
        hands: the workers that take cycles, each with the second from which it is free; infinity is never.
        jobs: in the order of the queue.
        busy: projects of which a cycle runs, and until when.

    Returns:
        the start of every job that ever begins, by its key.
    """
    return _Play(hands, jobs, busy).run()


class _Play:
    def __init__(
        self, hands: Sequence[tuple[Hand, float]], jobs: Sequence[Job], busy: Mapping[Hashable, float]
    ) -> None:
        self._hands = [hand for hand, _ in hands]
        self._jobs = jobs
        self._lines: dict[Hashable, deque[int]] = defaultdict(deque)
        for place, job in enumerate(jobs):
            self._lines[job.project].append(place)
        # (second, which kind, place of the project's next job or of the hand)
        self._events: list[tuple[float, int, int]] = []
        for project, line in self._lines.items():
            self._push(busy.get(project, 0.0), _PROJECT, line[0])
        for index, (_, free_at) in enumerate(hands):
            self._push(free_at, _HAND, index)
        # Jobs whose turn it is, by what they ask, in order; hands that found nothing, the longest idle first.
        self._ready: dict[tuple[str, int], list[int]] = defaultdict(list)
        self._idle: list[int] = []
        self._starts: dict[Hashable, Start] = {}

    def run(self) -> dict[Hashable, Start]:
        while self._events and len(self._starts) < len(self._jobs):
            now, kind, place = heapq.heappop(self._events)
            if kind == _HAND:
                self._hand_free(now, place)
            else:
                self._turn_of(now, place)
        return self._starts

    def _push(self, at: float, kind: int, place: int) -> None:
        if isfinite(at):
            heapq.heappush(self._events, (max(at, 0.0), kind, place))

    def _turn_of(self, now: float, place: int) -> None:
        """The job is the next of its project, of which nothing runs any more."""
        asks = self._jobs[place].asks
        for index in self._idle:
            if self._hands[index].can_take(asks):
                self._idle.remove(index)
                self._begin(now, place, index)
                return
        insort(self._ready[asks.device, asks.protocol], place)

    def _hand_free(self, now: float, index: int) -> None:
        """The hand takes the oldest job that it can, or idles."""
        place = min(self._fitting(self._hands[index]), default=None)
        if place is None:
            self._idle.append(index)
            return
        asks = self._jobs[place].asks
        self._ready[asks.device, asks.protocol].remove(place)
        self._begin(now, place, index)

    def _fitting(self, hand: Hand) -> Iterator[int]:
        for device in ("", hand.device):
            for place in self._ready.get((device, hand.protocol), ()):
                if hand.can_take(self._jobs[place].asks):
                    yield place
                    break

    def _begin(self, now: float, place: int, index: int) -> None:
        job = self._jobs[place]
        self._starts[job.key] = Start(now, index)
        line = self._lines[job.project]
        line.popleft()
        if line:
            self._push(now + job.lasts, _PROJECT, line[0])
        self._push(now + job.lasts, _HAND, index)
