"""One attempt at one cycle: prepare, start the trainer, relay, renew, obey, publish or settle.

The trainer computes; the keeper's threads hold the lease; this file is the order of things. Every write
carries (cycle, epoch), so a supervisor that was overtaken changes nothing any more.
"""

from __future__ import annotations

import errno
import logging
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection

from webapp.cycles.choices import TERMINAL, State
from webapp.cycles.models import Cycle
from webapp.cycles.publish import publish
from webapp.cycles.transitions import StateChanged, transition
from webapp.live.frames import LeaseLost
from workers.child import Trainer
from workers.devices import trainer_threads
from workers.events_pipe import EventPipe
from workers.job import OUT_DIR, WORK_DIR
from workers.lease import LeaseKeeper
from workers.metering import ESTIMATED, Meter
from workers.outcome import Ending, read_ending, settle
from workers.preparing import CannotStart, model_parameters, prepare
from workers.scratch import attempt_folder, clear, cycle_folder
from workers.stream import FrameStream
from workers.verifying import Unusable, verify

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from workers.devices import Device

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
logger = logging.getLogger(__name__)
TURN_SECONDS: Final = 0.05
GRACE_SECONDS: Final = 30.0
STALL_SECONDS: Final = 900.0
T = TypeVar("T")
_BUG: Final = (
    "Something in Nocturne itself went wrong while it prepared or published this cycle; your data is fine. "
    "Try again; if it happens once more, report it with this code."
)
_UNUSABLE: Final = (
    "The result did not pass the checks that every checkpoint must pass, so it was not published and the "
    "current checkpoint stays. Try again; if it happens once more, report it with this code."
)


class Attempt:
    """One epoch of one cycle on this worker.

    Args:
        cycle: as `claim` gave it.
        began: `boottime()` from before the claim.
        device: what to compute on.
        stopping: set when this worker shuts down.
    """

    def __init__(
        self,
        cycle: Cycle,
        *,
        began: float,
        device: Device,
        stopping: threading.Event,
    ) -> None:
        self.cycle, self.epoch = cycle, cycle.epoch
        self.device, self.stopping = device, stopping
        self.folder: Path = cycle_folder(cycle.pk) / f"e{cycle.epoch}"
        self.keeper = LeaseKeeper(cycle.pk, cycle.epoch, ttl=float(settings.CYCLE_LEASE_SECONDS), began=began)

    def run(self) -> None:
        """To whatever end; raises nothing but what ends the process."""
        try:
            with self.keeper:
                self._run()
        except LeaseLost:
            logger.warning("cycle %s: epoch %d is over; another worker goes on", self.cycle.pk, self.epoch)
        else:
            self._tidy()

    def _run(self) -> None:
        try:
            attempt_folder(self.cycle)
            resumed = self._insist(lambda: prepare(self.cycle, self.folder, device=self.device))
            ending = self._train(resumed)
            if ending.kind == "done":
                ending = self._publish()
        except CannotStart as error:
            ending = Ending("failed", error.code, error.message)
        except LeaseLost:
            raise
        except OSError as error:
            logger.exception("cycle %s: epoch %d", self.cycle.pk, self.epoch)
            ending = _disk_ending(error)
        except Exception:
            logger.exception("cycle %s: epoch %d", self.cycle.pk, self.epoch)
            ending = Ending("failed", "cycle.bug", _BUG)
        if ending.kind != "published":
            self._settle(ending)

    # ------------------------------------------------------------ the trainer

    def _train(self, resumed: bool) -> Ending:
        threads = trainer_threads(model_parameters(self.cycle))
        trainer = Trainer.start(self.folder, device=self.device, threads=threads)
        self.keeper.guard(trainer)
        pipe = EventPipe(trainer.events, self.folder / "events.spool")
        pipe.start()
        # Begun anew, for want of a snapshot, it supersedes all that an earlier attempt told, from step 0 on.
        again = resumed or self.epoch > 1
        stream = FrameStream(pipe, self.cycle.pk, self.epoch, resumed=again, work=self.folder / WORK_DIR)
        meter = Meter(
            trainer.pid,
            self.device,
            energy_wh=self.cycle.energy_wh or 0.0,
            estimated=self.cycle.energy_source == ESTIMATED,
        )
        try:
            stalled = self._relay(trainer, pipe, stream, meter)
        finally:
            self.keeper.unguard()
            code = trainer.close()
        while not stream.drained:
            if self.keeper.lost.is_set():
                raise LeaseLost
            pipe.wait(TURN_SECONDS)
            stream.pump()
        return read_ending(
            exit_code=code,
            final=pipe.final,
            cancelling=self.keeper.cancelling.is_set(),
            stopping=self.stopping.is_set(),
            stalled=stalled,
        )

    def _relay(self, trainer: Trainer, pipe: EventPipe, stream: FrameStream, meter: Meter) -> bool:
        """Pass events on until the trainer has ended; True when it stood still and was ended for that."""
        running = False
        told_at: float | None = None
        while trainer.poll() is None:
            if self.keeper.lost.is_set():
                raise LeaseLost
            now = time.monotonic()
            if self.keeper.cancelling.is_set() or self.stopping.is_set():
                if told_at is None:
                    told_at = now
                    trainer.terminate()
                elif now - told_at > GRACE_SECONDS:
                    trainer.kill()
            if now - pipe.heard_at > STALL_SECONDS:
                trainer.kill()
                return True
            pipe.wait(TURN_SECONDS)
            if reading := meter.read():
                stream.measure(reading)
            stream.pump()
            if pipe.ready is not None and not running:
                running = self._insist(lambda: self._begin(pipe.ready or {}))
        return False

    def _begin(self, ready: dict[str, Any]) -> bool:
        """starting -> running, unless a person has cancelled meanwhile."""
        try:
            transition(
                self.cycle.pk,
                to=State.RUNNING,
                expect_from=(State.STARTING,),
                epoch=self.epoch,
                environment=ready.get("environment") or {},
                error_code="",
                error_message="",
            )
        except StateChanged as error:
            # CANCELLING: the keeper tells us. RUNNING: the commit's answer was lost, the commit was not.
            if error.state not in {State.CANCELLING, State.RUNNING}:
                raise
        return True

    # ------------------------------------------------------------ the end

    def _publish(self) -> Ending:
        """running -> publishing -> the end; a cancel that came first wins."""
        try:
            self._insist(self._to_publishing)
        except StateChanged as error:
            if error.state == State.CANCELLING:
                return Ending("cancelled")
            raise
        try:
            output = self._insist(lambda: verify(self.cycle, self.folder / OUT_DIR))
        except Unusable as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in _FULL:
                raise error.__cause__ from None
            logger.exception("cycle %s: the result of epoch %d is unusable", self.cycle.pk, self.epoch)
            return Ending("failed", "cycle.result_unusable", _UNUSABLE)
        try:
            self._insist(lambda: publish(cycle_id=self.cycle.pk, epoch=self.epoch, output=output))
        except OSError as error:
            logger.exception("cycle %s: the store refused the result", self.cycle.pk)
            return Ending(
                "failed",
                "store.disk_full",
                f"The store could not take the result ({error.strerror}). The current checkpoint stays. "
                "Free some space on the server, then try again.",
            )
        return Ending("published")

    def _to_publishing(self) -> None:
        try:
            transition(self.cycle.pk, to=State.PUBLISHING, expect_from=(State.RUNNING,), epoch=self.epoch)
        except StateChanged as error:
            if error.state != State.PUBLISHING:
                raise

    def _settle(self, ending: Ending) -> None:
        try:
            self._insist(lambda: settle(self.cycle, self.epoch, ending))
        except StateChanged as error:
            if error.state != State.CANCELLING:
                logger.warning("cycle %s: ended as %s meanwhile", self.cycle.pk, error.state)
                return
            self._insist(lambda: settle(self.cycle, self.epoch, Ending("cancelled")))

    def _insist(self, action: Callable[[], T]) -> T:
        """Do it, however often the database goes away, as long as the cycle is ours."""
        while True:
            try:
                return action()
            except (InterfaceError, DatabaseError) as error:
                if not _away(error):
                    raise
                logger.warning("cycle %s: the database is away; trying again", self.cycle.pk)
                connection.close()
                if self.keeper.lost.wait(0.5):
                    raise LeaseLost from None

    def _tidy(self) -> None:
        """Once the cycle has ended nobody wants its snapshots any more."""
        try:
            ended = Cycle.objects.filter(pk=self.cycle.pk, state__in=TERMINAL).exists()
        except (InterfaceError, DatabaseError):
            return
        if ended:
            clear(self.cycle.pk)


def _disk_ending(error: OSError) -> Ending:
    """The worker's own disk refused: say that, not that something is wrong with the model or the program."""
    if error.errno in _FULL:
        return Ending(
            "failed",
            "cycle.disk_full",
            "The worker's disk is full, so the cycle could not go on. The current checkpoint stays. "
            "Free some space there, then try again.",
        )
    return Ending(
        "failed",
        "cycle.disk_error",
        f"The worker's disk refused a file ({error.strerror or 'no reason given'}). The current checkpoint "
        "stays. Check the worker's data folder, then try again.",
    )


def _away(error: Exception) -> bool:
    """Whether the connection is gone, in contrast to a statement that the database refused."""
    return isinstance(error, OperationalError | InterfaceError)
