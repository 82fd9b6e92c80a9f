"""The clock: a tick every few seconds, by message, and without any message when none comes."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Final

from django.conf import settings
from django.db import connection

from webapp.core.broker import CHORES, TICK_TASK
from workers.chores import do_chores

logger = logging.getLogger(__name__)
# A tick that waited longer than this would only repeat the next one.
TICK_EXPIRES: Final = 15
_ticked_at = time.monotonic()
_ticking = threading.Lock()


def beat_schedule() -> dict[str, dict[str, Any]]:
    """Celery beat's table: one entry."""
    return {
        "tick": {
            "task": TICK_TASK,
            "schedule": float(settings.CLOCK_TICK_SECONDS),
            "options": {"queue": CHORES, "expires": TICK_EXPIRES},
        }
    }


def tick() -> dict[str, int]:
    """Do what is due. Two ticks at once are harmless, but one is enough: the second returns at once."""
    global _ticked_at
    if not _ticking.acquire(blocking=False):
        return {}
    try:
        _ticked_at = time.monotonic()
        return do_chores()
    finally:
        _ticking.release()


class SpareClock:
    """Ticks in the chores worker when no tick message came for long: beat or the broker is dead."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spare-clock", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(2)

    def _run(self) -> None:
        usual = float(settings.CLOCK_TICK_SECONDS)
        while not self._stopping.wait(usual):
            if time.monotonic() - _ticked_at > 3 * usual:
                logger.warning("no tick came by message; ticking without one")
                tick()
                connection.close()
