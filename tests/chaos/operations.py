"""What the processes of a run say that they did (webapp.core.oplog), and what cannot be true of it."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True)
class Violation:
    """A promise that was broken.

    Attributes:
        kind: "lost" (accepted and never ended), "doubled" (two writers of one epoch, two results of one
            cycle), "torn" (a row whose file is missing or differs) or "broken" (anything else).
        about: the cycle, or what else it is about.
    """

    kind: str
    about: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.about}: {self.sentence}"


@dataclass(frozen=True)
class Operation:
    """One line of an operation log."""

    what: str
    pid: int
    monotonic: float
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def cycle(self) -> str:
        return str(self.facts.get("cycle", ""))

    @property
    def epoch(self) -> int:
        return int(self.facts.get("epoch", 0))


# Done by the holder of an epoch and by nobody else.
HELD: Final = frozenset({"claimed", "trainer_started", "frame", "published", "settled"})


class Reader:
    """Reads the logs of all processes while they are being written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}

    def news(self) -> list[Operation]:
        """What was added since the last look, in the order of the machine's clock."""
        operations = []
        for path in self._folder.glob("*.jsonl"):
            begin = self._read.get(path, 0)
            if path.stat().st_size == begin:
                continue
            with path.open("rb") as file:
                file.seek(begin)
                whole, end, _ = file.read().rpartition(b"\n")
            if not end:
                continue  # a line that is still being written
            self._read[path] = begin + len(whole) + 1
            operations += [_operation(line) for line in whole.splitlines()]
        return sorted(operations, key=lambda operation: operation.monotonic)


def _operation(line: bytes) -> Operation:
    facts = json.loads(line)
    what, pid, monotonic = facts.pop("what"), facts.pop("pid"), facts.pop("monotonic")
    return Operation(what, pid, monotonic, facts)


def read(folder: Path) -> list[Operation]:
    """Every process's log, in the order of the machine's clock."""
    return Reader(folder).news()


def check_operations(operations: Iterable[Operation]) -> list[Violation]:
    """What the logs alone show: one writer an epoch, epochs that only grow, one result a cycle."""
    held = [operation for operation in operations if operation.what in HELD | {"trainer"}]
    return [*_one_writer(held), *_one_claim(held), *_one_number(held), *_one_result(held)]


def _one_writer(held: list[Operation]) -> Iterable[Violation]:
    """A trainer counts as its parent's: a longer plan goes on in a second one of the same epoch."""
    writers = defaultdict(set)
    for operation in held:
        writer = operation.facts["parent"] if operation.what == "trainer" else operation.pid
        writers[operation.cycle, operation.epoch].add(writer)
    for (cycle, epoch), pids in writers.items():
        # 1: the supervisor was killed in the moment in which its trainer began.
        if len(pids - {1}) > 1:
            yield Violation("doubled", cycle, f"epoch {epoch} had {len(pids)} writers: {sorted(pids)}")


def _one_claim(held: list[Operation]) -> Iterable[Violation]:
    # Only within one process: the line of a process that froze before it wrote it may come late.
    epochs: dict[tuple[str, int], int] = {}
    for operation in held:
        if operation.what == "claimed":
            before = epochs.get((operation.cycle, operation.pid), 0)
            if operation.epoch <= before:
                yield Violation(
                    "broken", operation.cycle, f"epoch {operation.epoch} was claimed after epoch {before}"
                )
            epochs[operation.cycle, operation.pid] = operation.epoch


def _one_number(held: list[Operation]) -> Iterable[Violation]:
    seen = set()
    for operation in held:
        if operation.what == "frame":
            number = (operation.cycle, operation.facts["seq"])
            if number in seen:
                yield Violation("doubled", operation.cycle, f"frame {number[1]} was written twice")
            seen.add(number)


def _one_result(held: list[Operation]) -> Iterable[Violation]:
    published: dict[str, int] = {}
    for operation in held:
        if operation.what == "published":
            if operation.cycle in published:
                epochs = f"{published[operation.cycle]} and {operation.epoch}"
                yield Violation("doubled", operation.cycle, f"it was published by epochs {epochs}")
            published[operation.cycle] = operation.epoch
