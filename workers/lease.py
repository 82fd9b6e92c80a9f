"""Holding a cycle: renewals in a thread of their own, and a fence that needs no database to fall.

Two threads, because a renewal may hang on a half-open connection and the fence must fall all the same. Time
is CLOCK_BOOTTIME, which goes on while a laptop sleeps.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final, Self

from django.db import DatabaseError, InterfaceError, connection

from webapp.core.faults import fault
from webapp.cycles.claim import look, renew
from webapp.live.frames import LeaseLost

if TYPE_CHECKING:
    from uuid import UUID

    from workers.child import Trainer

logger = logging.getLogger(__name__)
FENCE_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 1.0


def boottime() -> float:
    """Seconds on a clock that never jumps and does not stop while the machine sleeps (where there is one)."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


class LeaseKeeper:
    """Keeps one (cycle, epoch) until closed.

    Attributes:
        lost: set when it is somebody else's by now, or the database was away for two leases; the trainer is
            dead then.
        cancelling: set when a person wants the cycle cancelled.
        pausing: set when somebody wants it paused.
        extended: how much longer the cycle may go on by now, a share of its plan.
        revoked: of how many sets that the cycle has read records were erased since.

    Args:
        cycle_id, epoch: what is held.
        ttl: the lease's length in seconds.
        began: `boottime()` from before the claim was sent.
    """

    def __init__(self, cycle_id: UUID, epoch: int, *, ttl: float, began: float) -> None:
        self.lost = threading.Event()
        self.cancelling = threading.Event()
        self.pausing = threading.Event()
        self.extended = 0.0
        self.revoked = 0
        self._cycle_id, self._epoch, self._ttl = cycle_id, epoch, ttl
        self._renewed_at = began
        self._trainer: Trainer | None = None
        self._closed = threading.Event()
        self._guard = threading.Lock()
        self._threads = [
            threading.Thread(target=self._keep, name="lease", daemon=True),
            threading.Thread(target=self._watch, name="fence", daemon=True),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        for thread in self._threads:
            # A renewal may hang; it is a daemon and touches nothing of ours.
            thread.join(timeout=2)

    def guard(self, trainer: Trainer) -> None:
        """From now on, pause and end this trainer when the lease runs out."""
        with self._guard:
            self._trainer = trainer
            if self.lost.is_set():
                trainer.kill()

    def unguard(self) -> None:
        """The trainer has ended by itself."""
        with self._guard:
            self._trainer = None

    def _keep(self) -> None:
        pause = min(LOOK_SECONDS, self._ttl / 10)
        try:
            while not self._closed.wait(pause) and not self.lost.is_set():
                self._once()
        finally:
            connection.close()

    def _once(self) -> None:
        asked_at = boottime()
        renewing = asked_at - self._renewed_at >= self._ttl / 3
        try:
            fault("lease.before_renew")
            held = (renew if renewing else look)(cycle_id=self._cycle_id, epoch=self._epoch)
            self.extended = held.extended
            self.revoked = held.revoked
            if held.pausing:
                self.pausing.set()
            if held.cancelling:
                self.cancelling.set()
            if renewing:
                # Counted from before the question: the database's clock started no earlier.
                self._renewed_at = asked_at
        except LeaseLost:
            if not self._closed.is_set():
                logger.warning("cycle %s: the lease of epoch %d is lost", self._cycle_id, self._epoch)
                self._lose()
        except (DatabaseError, InterfaceError):
            logger.warning("cycle %s: the lease could not be renewed; trying again", self._cycle_id)
            connection.close()

    def _watch(self) -> None:
        margin = min(FENCE_SECONDS, self._ttl / 4)
        while not self._closed.wait(min(0.2, self._ttl / 20)):
            silent = boottime() - self._renewed_at
            if silent > 2 * self._ttl:
                logger.warning("cycle %s: no renewal for two leases; giving it up", self._cycle_id)
                self._lose()
                return
            with self._guard:
                if self._trainer is None:
                    continue
                if silent > self._ttl - margin:
                    self._trainer.pause()
                else:
                    self._trainer.resume()

    def _lose(self) -> None:
        with self._guard:
            self.lost.set()
            if self._trainer is not None:
                self._trainer.kill()
