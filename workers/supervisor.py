"""One attempt at one cycle: prepare, start the trainer, relay, renew, obey, publish or settle.

The trainer computes; the keeper's threads hold the lease; this file is the order of things. Every write
carries (cycle, epoch), so a supervisor that was overtaken changes nothing any more.
"""

from __future__ import annotations

import dataclasses
import errno
import logging
import os
import shutil
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from webapp.core.errors import NocturneError
from webapp.core.faults import fault
from webapp.core.oplog import note
from webapp.core.places import place_for_new
from webapp.core.store import RESERVE_BYTES, NoRoom
from webapp.core.store_identity import StoreAway
from webapp.cycles.blocking import disk_sentence
from webapp.cycles.choices import TERMINAL, State
from webapp.cycles.models import Cycle
from webapp.cycles.publish import publish
from webapp.cycles.steering import EXTENDABLE_STAGES, cycle_pause
from webapp.cycles.transitions import StateChanged, transition
from webapp.live.frames import DATA, LeaseLost, frame_write
from workers.child import Trainer
from workers.devices import trainer_threads
from workers.events_pipe import EventPipe
from workers.job import OUT_DIR, WORK_DIR
from workers.lease import LeaseKeeper
from workers.metering import ESTIMATED, Meter
from workers.outcome import Ending, Wishes, read_ending, settle
from workers.preparing import CannotStart, model_parameters, prepare
from workers.room import NoRoomHere, room_for
from workers.scratch import attempt_folder, clear, cycle_folder
from workers.stream import FrameStream
from workers.verifying import Unusable, verify
from workers.watchdog import Watchdog

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from workers.devices import Device

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
logger = logging.getLogger(__name__)
TURN_SECONDS: Final = 0.05
GRACE_SECONDS: Final = 25.0  # with the look at the lease, and the end, within 30 s
_MAY_CHANGE: Final = ("extended", "energy_wh", "energy_source")
_BEFORE_THE_END: Final = EXTENDABLE_STAGES | {""}
_TOO_LATE: Final = "The wish to extend came after the last step that it could make longer; it has no effect."
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
        self._running = False
        self._stream: FrameStream | None = None
        self._asked = Wishes()
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
            ending = self._compute()
            while ending.kind == "extended":
                # A longer plan goes on from the snapshot just written, here and at once.
                self._insist(lambda: self.cycle.refresh_from_db(fields=_MAY_CHANGE))
                ending = self._compute()
            if ending.kind == "done":
                self._insist(self._tell_of_late_wishes)
                ending = self._publish()
        except CannotStart as error:
            ending = Ending("failed", error.code, error.message)
        except StoreAway as error:
            ending = Ending("infra", error.code, error.message)
        except NoRoomHere as error:
            ending = Ending("room", error.code, error.message)
        except LeaseLost:
            raise
        except OSError as error:
            logger.exception("cycle %s: epoch %d", self.cycle.pk, self.epoch)
            ending = self._disk_ending(error, "worker")
        except Exception:
            logger.exception("cycle %s: epoch %d", self.cycle.pk, self.epoch)
            ending = Ending("failed", "cycle.bug", _BUG)
        if ending.kind != "published":
            fault("settle.before_commit")
            self._settle(ending)
            note("settled", cycle=self.cycle.pk, epoch=self.epoch, ending=ending.kind)
            fault("settle.after_commit")

    # ------------------------------------------------------------ the trainer

    def _compute(self) -> Ending:
        """Prepare and train, once."""
        room_for(self.cycle, self.folder)
        resumed = self._insist(lambda: prepare(self.cycle, self.folder, device=self.device))
        # Begun anew, for want of a snapshot, it supersedes all that an earlier attempt told, from step 0 on.
        return self._train(resumed or self.epoch > 1)

    def _train(self, again: bool) -> Ending:
        threads = trainer_threads(model_parameters(self.cycle))
        fault("trainer.before_start")
        trainer = Trainer.start(self.folder, device=self.device, threads=threads)
        note("trainer_started", cycle=self.cycle.pk, epoch=self.epoch, trainer=trainer.pid)
        fault("trainer.after_start")
        self.keeper.guard(trainer)
        pipe = EventPipe(trainer.events, self.folder / "events.spool")
        pipe.start()
        if self._stream is None:
            work = self.folder / WORK_DIR
            self._stream = FrameStream(pipe, self.cycle.pk, self.epoch, resumed=again, work=work)
        else:
            self._stream.go_on(pipe)
        stream = self._stream
        meter = Meter(
            trainer.pid,
            self.device,
            energy_wh=self.cycle.energy_wh or 0.0,
            estimated=self.cycle.energy_source == ESTIMATED,
        )
        watchdog = Watchdog(trainer, pipe, stream)
        self._running = False
        self._asked = Wishes()
        try:
            self._relay(trainer, pipe, stream, meter, watchdog)
        finally:
            self.keeper.unguard()
            code = trainer.close()
        while not stream.drained:
            if self.keeper.lost.is_set():
                raise LeaseLost
            pipe.wait(TURN_SECONDS)
            stream.pump()
        if self.keeper.lost.is_set():
            raise LeaseLost  # it was the fence that ended the trainer
        self._note_ready(pipe)
        # A wish to cancel that came with the trainer's last breath counts as well.
        wishes = dataclasses.replace(
            self._asked, cancelling=self.keeper.cancelling.is_set(), revoked=self.keeper.revoked
        )
        ending = read_ending(
            exit_code=code, final=pipe.final, wishes=wishes, stuck=watchdog.stuck, stage=stream.stage
        )
        if ending.kind == "room":  # the trainer knows that there was none, and not how much
            return self._disk_ending(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "worker")
        return ending

    def _relay(
        self, trainer: Trainer, pipe: EventPipe, stream: FrameStream, meter: Meter, watchdog: Watchdog
    ) -> None:
        """Pass events on until the trainer has ended, by itself or because somebody wanted it to."""
        told_at: float | None = None
        while trainer.poll() is None:
            if self.keeper.lost.is_set():
                raise LeaseLost
            now = time.monotonic()
            wishes = self._wishes()
            if wishes.revoked:
                trainer.kill()  # nobody wants a snapshot of what it has read
            if told_at is None and wishes != Wishes():
                told_at, self._asked = now, wishes
                trainer.terminate()
            elif told_at is not None and now - told_at > GRACE_SECONDS:
                trainer.kill()
            watchdog.look(now)
            pipe.wait(TURN_SECONDS)
            if reading := meter.read():
                stream.measure(reading)
            stream.pump()
            self._note_ready(pipe)

    def _wishes(self) -> Wishes:
        return Wishes(
            cancelling=self.keeper.cancelling.is_set(),
            revoked=self.keeper.revoked,
            pausing=self.keeper.pausing.is_set(),
            stopping=self.stopping.is_set(),
            extending=self._longer() and (self._stream is None or self._stream.stage in _BEFORE_THE_END),
        )

    def _longer(self) -> bool:
        """Somebody extended it, and this attempt does not know of it yet."""
        return self.keeper.extended > self.cycle.extended

    def _note_ready(self, pipe: EventPipe) -> None:
        if pipe.ready is not None and not self._running:
            self._running = self._insist(lambda: self._begin(pipe.ready or {}))

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
            # CANCELLING, PAUSING: the keeper tells us. RUNNING: a longer plan goes on, or the commit's answer
            # was lost and the commit was not.
            if error.state not in {State.CANCELLING, State.PAUSING, State.RUNNING}:
                raise
        return True

    # ------------------------------------------------------------ the end

    def _tell_of_late_wishes(self) -> None:
        """An extension that came after the last step is taken back, and said to be."""
        with transaction.atomic():
            asked = Cycle.objects.filter(pk=self.cycle.pk, epoch=self.epoch, extended__gt=self.cycle.extended)
            if asked.update(extended=self.cycle.extended):
                event = {"kind": "log", "level": "warning", "message": _TOO_LATE}
                frame_write(cycle_id=self.cycle.pk, epoch=self.epoch, kind=DATA, payload={"events": [event]})

    def _publish(self) -> Ending:
        """running -> publishing -> the end; a cancel that came first wins, a pause has come too late."""
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
        except (LeaseLost, StateChanged):
            raise
        except StoreAway as error:
            return Ending("infra", error.code, error.message)
        except NoRoom as error:
            return Ending("room", error.code, error.message)
        except NocturneError as error:
            return Ending("failed", error.code, error.message)
        except OSError as error:
            logger.exception("cycle %s: the store refused the result", self.cycle.pk)
            return self._disk_ending(error, "store")
        note("published", cycle=self.cycle.pk, epoch=self.epoch)
        fault("publish.after_commit")
        return Ending("published")

    def _to_publishing(self) -> None:
        try:
            transition(
                self.cycle.pk,
                to=State.PUBLISHING,
                expect_from=(State.RUNNING, State.PAUSING),
                epoch=self.epoch,
            )
        except StateChanged as error:
            if error.state != State.PUBLISHING:
                raise

    def _settle(self, ending: Ending) -> None:
        try:
            settled = self._insist(lambda: settle(self.cycle, self.epoch, ending))
            if self.keeper.pausing.is_set() and settled.state == State.QUEUED:
                # It was done, and publishing failed: the wish to pause still stands.
                self._insist(lambda: cycle_pause(actor=None, cycle=settled, reason="wished"))
        except StateChanged as error:
            wish = {State.CANCELLING.value: "cancelled", State.PAUSING.value: "paused"}.get(error.state)
            if wish is None:
                logger.warning("cycle %s: ended as %s meanwhile", self.cycle.pk, error.state)
                return
            self._settle(Ending(wish))

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

    def _disk_ending(self, error: OSError, where: str) -> Ending:
        """A disk refused: say that, not that something is wrong with the model or the program."""
        area = {"worker": "cycle", "store": "store"}[where]
        if error.errno in _FULL:
            need = self.cycle.disk_bytes if where == "worker" else self.cycle.store_bytes
            folder = settings.CYCLES_DIR if where == "worker" else place_for_new().root
            free = shutil.disk_usage(folder).free - RESERVE_BYTES
            return Ending("room", f"{area}.disk_full", disk_sentence(need, free, where))
        return Ending(
            "infra",
            f"{area}.disk_error",
            f"The {where}'s disk refused a file ({error.strerror or 'no reason given'}). The current "
            "checkpoint stays. Check the worker's data folder and the store, then try again.",
        )

    def _tidy(self) -> None:
        """Once the cycle has ended nobody wants its snapshots any more."""
        try:
            ended = Cycle.objects.filter(pk=self.cycle.pk, state__in=TERMINAL).exists()
        except (InterfaceError, DatabaseError):
            return
        if ended:
            clear(self.cycle.pk)


def _away(error: Exception) -> bool:
    """Whether the connection is gone, in contrast to a statement that the database refused."""
    return isinstance(error, OperationalError | InterfaceError)
