"""The night shift: one thread that takes cycle after cycle, rung by messages, never dependent on them."""

from __future__ import annotations

import logging
import threading
import time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, close_old_connections, connection

from webapp.core.faults import fault
from webapp.core.oplog import note
from webapp.cycles.claim import claim
from webapp.fleet.device_lease import DeviceHolder
from webapp.fleet.services import worker_heartbeat, worker_stopped
from workers.devices import this_device
from workers.lease import boottime
from workers.leftovers import cycle_folders_collect
from workers.readiness import worker_problem
from workers.reaper import orphans_kill, trainers_kill
from workers.supervisor import Attempt

if TYPE_CHECKING:
    from webapp.fleet.models import Worker

logger = logging.getLogger(__name__)
HEARTBEAT_SECONDS: Final = 5.0
GOODBYE_SECONDS: Final = 35.0


def _version() -> str:
    try:
        return version("nocturne")
    except PackageNotFoundError:
        return "source"


class NightShift:
    """Supervises cycles in a thread of its own.

    A Celery task only rings. So the worker's main loop stays free: SIGTERM is seen at once, the broker's
    connection does not starve, and with a dead or deaf broker the shift still looks for work by itself.
    """

    def __init__(self) -> None:
        self.device = this_device()
        self.name = self.device.worker_name
        self._hold = DeviceHolder(self.device.lease_key, on_taking=trainers_kill)
        self._bell = threading.Event()
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._work = threading.Thread(target=self._run, name="nights", daemon=True)
        self._heart = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin; trainers that an earlier worker left behind are ended first."""
        orphans_kill()
        self._heart.start()
        self._work.start()
        try:
            cycle_folders_collect()
        except Exception:
            # The database may come later than we, the disk may be read-only: `worker_problem` says that.
            logger.exception("what cycles that are gone left here could not be cleared away")
        finally:
            connection.close()

    def ring(self) -> None:
        """There may be work."""
        self._bell.set()

    def stop_soon(self) -> None:
        """Take nothing new; the running cycle is asked for a snapshot and given back. Returns at once."""
        self._stopping.set()
        self._bell.set()

    def join(self) -> None:
        """Wait until the running cycle was given back, and say goodbye."""
        self.stop_soon()
        self._work.join(GOODBYE_SECONDS)
        self._ended.set()
        self._heart.join(2)
        try:
            if self._hold.hold():
                worker_stopped(name=self.name)
                self._hold.let_go()
        except (DatabaseError, InterfaceError):
            logger.warning("could not say goodbye to the database; the heartbeat will tell")

    def _run(self) -> None:
        """Look for work when rung, and every CLAIM_POLL_SECONDS all the same."""
        while not self._stopping.is_set():
            self._bell.clear()
            try:
                while not self._stopping.is_set() and self._one():
                    pass
            except (OperationalError, InterfaceError):
                logger.warning("the database is away; looking again in a second")
                connection.close()
                self._stopping.wait(1)
                continue
            except Exception:
                # One cycle must not end the shift: its lease runs out and the reaper says what becomes of it.
                logger.exception("the night shift stumbled")
                connection.close()
            self._bell.wait(settings.CLAIM_POLL_SECONDS)
        connection.close()

    def _one(self) -> bool:
        """Run the next cycle, if there is one."""
        close_old_connections()
        if not self._hold.hold():
            return False
        worker = self._beat()
        if worker.problem_code or worker.draining_at is not None:
            return False
        began = boottime()
        cycle = claim(worker=worker)
        if cycle is None:
            return False
        logger.info("cycle %s: epoch %d, attempt %d", cycle.pk, cycle.epoch, cycle.attempt)
        note("claimed", cycle=cycle.pk, epoch=cycle.epoch, worker=self.name)
        fault("claim.after_commit")
        Attempt(cycle, began=began, device=self.device, stopping=self._stopping).run()
        return True

    def _beat(self) -> Worker:
        code, sentence = worker_problem()
        return worker_heartbeat(
            name=self.name,
            device=self.device.name,
            device_memory_bytes=self.device.memory_bytes,
            version=_version(),
            protocol=settings.CYCLE_PROTOCOL,
            problem_code=code,
            problem=sentence,
        )

    def _beat_on(self) -> None:
        next_at = time.monotonic()
        pause = min(HEARTBEAT_SECONDS, settings.CYCLE_LEASE_SECONDS / 4)
        # To the end of the running cycle, not only until the wish to stop: the device is in use so long.
        while not self._ended.wait(max(0.0, next_at - time.monotonic())):
            next_at = time.monotonic() + pause
            try:
                # Whoever has no device is not there: another process of the same name may be.
                if self._hold.hold():
                    self._beat()
            except (OperationalError, InterfaceError):
                connection.close()
            except Exception:
                # Without heartbeats the device would be given away under a running trainer.
                logger.exception("a heartbeat failed; the next one follows")
                connection.close()
        connection.close()
