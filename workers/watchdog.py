"""Noticing a trainer that goes on for ever without getting anywhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from django.conf import settings

if TYPE_CHECKING:
    from workers.child import Trainer
    from workers.events_pipe import EventPipe
    from workers.stream import FrameStream

# A loop tells its steps; probes, significance and merging are silent while they work.
_TELLING: Final = frozenset({"learning", "NREM replay", "REM dreaming"})
_SILENT_FACTOR: Final = 4
FROZEN_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 1.0


class Watchdog:
    """Ends a trainer that is silent for longer than its stage may be, or that was stopped from outside.

    Attributes:
        stuck: why it was ended: "", "silent" or "frozen".
    """

    def __init__(self, trainer: Trainer, pipe: EventPipe, stream: FrameStream) -> None:
        self.stuck = ""
        self._trainer, self._pipe, self._stream = trainer, pipe, stream
        self._looked_at = self._thawed_at = time.monotonic()

    def look(self, now: float) -> None:
        """Call often; it looks once a second. `now` is `time.monotonic()`."""
        if now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        if not self._trainer.frozen:
            self._thawed_at = now
        if now - self._thawed_at > FROZEN_SECONDS:
            self._end("frozen")
        elif not self._trainer.paused and now - self._pipe.heard_at > self._patience():
            self._end("silent")

    def _patience(self) -> float:
        factor = 1 if self._stream.stage in _TELLING else _SILENT_FACTOR
        return float(settings.STALL_SECONDS * factor)

    def _end(self, why: str) -> None:
        self.stuck = why
        self._trainer.kill()
