"""Named places where a test may kill, freeze or starve the process that passes them; inert otherwise.

    NOCTURNE_FAULTS="publish.before_commit:kill:0.3,store_put.before_rename:enospc:1@2"

A rule is POINT:ACTION, then for `sleep` its seconds, then PROBABILITY, then @N: only the N-th time. Times are
counted in each process, or together by all that share the folder NOCTURNE_FAULT_COUNTS. Chance comes from
NOCTURNE_FAULT_SEED, the point and the time, so it is the same again. No Django here: the trainer uses it too.
"""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from webapp.core import oplog

# Passed on to the trainer when they are set.
VARIABLES: Final = ("NOCTURNE_FAULTS", "NOCTURNE_FAULT_SEED", "NOCTURNE_FAULT_COUNTS")

# Every point there is, in the order in which a cycle meets them.
POINTS: Final = (
    "cycle_start.before_commit",
    "cycle_start.after_commit",
    "claim.after_commit",
    "lease.before_renew",
    "trainer.before_start",
    "trainer.after_start",
    "trainer.load",
    "trainer.step",
    "frame.before_write",
    "frame.before_commit",
    "frame.after_commit",
    "snapshot.before_link",
    "snapshot.after_link",
    "snapshot.before_row",
    "leave.before_write",
    "leave.after_write",
    "leave.before_rename",
    "leave.after_rename",
    "verify.begin",
    "store_put.before_rename",
    "store_put.after_rename",
    "records_take_out.before_commit",
    "records_take_out.after_commit",
    "contents_release.before_unlink",
    "publish.before_commit",
    "publish.after_commit",
    "settle.before_commit",
    "settle.after_commit",
    "reap.before_commit",
    "reap.after_commit",
)


def _signalling(number: int) -> Callable[[float], None]:
    return lambda _: os.kill(os.getpid(), number)


def _refusing(number: int) -> Callable[[float], None]:
    def refuse(_: float) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


def _starve(_: float) -> None:
    raise MemoryError("a fault point")


ACTIONS: Final[Mapping[str, Callable[[float], None]]] = {
    "kill": _signalling(signal.SIGKILL),
    "segv": _signalling(signal.SIGSEGV),
    "stop": _signalling(signal.SIGSTOP),
    "enospc": _refusing(errno.ENOSPC),
    "eio": _refusing(errno.EIO),
    "memory": _starve,
    "sleep": time.sleep,
    "exit": lambda _: os._exit(1),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens at a point: `action` with `argument`, by `chance`, every time or the `nth` time only."""

    point: str
    action: str
    argument: float = 0.0
    chance: float = 1.0
    nth: int | None = None


def parse(text: str) -> list[Rule]:
    """The rules of NOCTURNE_FAULTS.

    Raises:
        ValueError: an unknown point or action, or a number that is none: a fault that silently never
            happens would let its test pass.
    """
    return [_rule(part.strip()) for part in text.split(",") if part.strip()]


def _rule(text: str) -> Rule:
    point, _, rest = text.partition(":")
    action, *more = rest.split(":")
    action, at, nth = action.partition("@")
    if more:
        more[-1], at, nth = more[-1].partition("@")
    if point not in POINTS:
        raise ValueError(f"NOCTURNE_FAULTS: {text!r} names no fault point; there are {', '.join(POINTS)}")
    if action not in ACTIONS:
        raise ValueError(f"NOCTURNE_FAULTS: {text!r} names no action; there are {', '.join(ACTIONS)}")
    try:
        argument = float(more.pop(0)) if action == "sleep" else 0.0
        chance = float(more.pop(0)) if more else 1.0
        number = int(nth) if at else None
        if more or not 0 < chance <= 1 or argument < 0 or (number is not None and number < 1):
            raise ValueError
    except (ValueError, IndexError):
        raise ValueError(
            f"NOCTURNE_FAULTS: {text!r} is not POINT:ACTION[:SECONDS][:PROBABILITY][@N] with a probability "
            "over 0 and at most 1, and N from 1"
        ) from None
    return Rule(point, action, argument, chance, number)


class FaultKit:
    """Rules at work. Called with a point's name by whoever passes it."""

    def __init__(self, rules: list[Rule], *, seed: str = "0", counts: Path | None = None) -> None:
        self._rules = rules
        self._seed = seed
        self._mine: Counter[str] = Counter()
        self._guard = threading.Lock()
        # Opened now: a trainer may lose the right to open files before it passes its first point.
        self._shared = {rule.point: _counter(counts, rule.point) for rule in rules} if counts else {}

    def __call__(self, point: str) -> None:
        """Do what the rules say of this pass.

        Raises:
            OSError, MemoryError: the rule is one of those.
        """
        rules = [rule for rule in self._rules if rule.point == point]
        if not rules:
            return
        nth = self._count(point)
        for rule in rules:
            if rule.nth in {None, nth} and self._drawn(rule, nth):
                oplog.note("fault", point=point, action=rule.action, time=nth)
                ACTIONS[rule.action](rule.argument)

    def _count(self, point: str) -> int:
        """Which time this is, from 1."""
        if (descriptor := self._shared.get(point)) is not None:
            # Appending moves the place of this descriptor to the end of just this byte.
            with self._guard:
                os.write(descriptor, b".")
                return os.lseek(descriptor, 0, os.SEEK_CUR)
        with self._guard:
            self._mine[point] += 1
            return self._mine[point]

    def _drawn(self, rule: Rule, nth: int) -> bool:
        if rule.chance == 1:
            return True
        text = f"{self._seed}/{rule.point}/{rule.action}/{nth}"
        drawn = int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48
        return drawn < rule.chance


def _counter(folder: Path, point: str) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    return os.open(folder / point, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def _inert(point: str) -> None:
    """Nothing."""


def from_environment(environment: Mapping[str, str]) -> Callable[[str], None]:
    """What `fault` is in this environment."""
    rules = parse(environment.get("NOCTURNE_FAULTS", ""))
    if not rules:
        return _inert
    counts = environment.get("NOCTURNE_FAULT_COUNTS")
    seed = environment.get("NOCTURNE_FAULT_SEED", "0")
    return FaultKit(rules, seed=seed, counts=Path(counts) if counts else None)


fault: Final = from_environment(os.environ)
