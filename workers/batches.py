"""From the trainer's lines to frames: what one flush holds, and what the cycle's row remembers. Pure."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from consolidation.events import STEP_TERMS
from webapp.live.bins import DEVICE

if TYPE_CHECKING:
    from workers.metering import Reading

FLUSH_SECONDS: Final = 0.1
FLUSH_POINTS: Final = 256
FLUSH_EVENTS: Final = 200
EVENT_BYTES: Final = 16 * 1024
FRAME_EVENT_BYTES: Final = 128 * 1024
_STAGE_CHANGES: Final = frozenset({"stage_started", "stage_ended", "verdict"})


@dataclass
class Flush:
    """One frame to be: its payload, the progress columns, and the snapshots that it announces."""

    payload: dict[str, Any]
    progress: dict[str, Any]
    snapshots: list[dict[str, Any]] = field(default_factory=list)


class Batcher:
    """Gathers lines; gives them back a flush at a time, in order.

    Args:
        resumed: there was an attempt before; the first frame says from which step on this one supersedes it.
    """

    def __init__(self, *, resumed: bool) -> None:
        self._waiting: deque[dict[str, Any]] = deque()
        self._points = 0
        self._urgent = False
        self._resumed = resumed
        self._progress: dict[str, Any] = {}
        self._number = 0
        self._flushed_at = float("-inf")
        self._readings: list[tuple[float, Reading]] = []
        self._last_t = 0.0
        self._clock: tuple[float, float] | None = None

    @property
    def empty(self) -> bool:
        return not self._waiting and not self._readings

    @property
    def stage(self) -> str:
        """Of what was taken last."""
        return str(self._progress.get("stage") or "")

    @property
    def full(self) -> bool:
        """There is more than enough for a flush."""
        return self._points >= FLUSH_POINTS or len(self._waiting) >= FLUSH_EVENTS

    def go_on(self) -> None:
        """The trainer was started anew under the same epoch: the next frame says from which step on."""
        self._resumed = True
        self._clock = None

    def measure(self, reading: Reading, now: float) -> None:
        """A look at the device, put on the engine's clock; what comes before that runs is let go."""
        if self._clock is not None:
            told, heard = self._clock
            self._readings.append((round(told + now - heard, 3), reading))

    def add(self, event: dict[str, Any], now: float = 0.0) -> None:
        """One line from the pipe, heard at `now` (`time.monotonic()`)."""
        if isinstance(event.get("t"), int | float):
            self._clock = (float(event["t"]), now)
        if event.get("kind") == "points":
            self._points += len(event["points"]["step"])
        elif event.get("kind") in _STAGE_CHANGES:
            self._urgent = True
        self._waiting.append(event)

    def due(self, now: float) -> bool:
        """Whether it is time: 100 ms since the last flush, 256 points, or a change of stage."""
        if self.empty:
            return False
        return self._urgent or self._points >= FLUSH_POINTS or now - self._flushed_at >= FLUSH_SECONDS

    def take(self, now: float) -> Flush:
        """The next flush: at most 256 points and 200 events, and all looks at the device."""
        points: dict[str, list[Any]] = {name: [] for name in ("step", "t", *STEP_TERMS)}
        events: list[dict[str, Any]] = []
        snapshots: list[dict[str, Any]] = []
        first: dict[str, Any] | None = None
        room = FRAME_EVENT_BYTES
        while self._waiting and len(events) < FLUSH_EVENTS and room > 0:
            event = self._waiting[0]
            if event.get("kind") == "points":
                count = len(event["points"]["step"])
                if points["step"] and len(points["step"]) + count > FLUSH_POINTS:
                    break
                for name, column in points.items():
                    column.extend(event["points"].get(name) or [None] * count)
                self._points -= count
            else:
                if event.get("kind") == "snapshot":
                    snapshots.append(event)
                shown, size = _shown(event)
                events.append(shown)
                room -= size
            first = first or event
            self._note(event)
            self._waiting.popleft()
        self._urgent = any(event.get("kind") in _STAGE_CHANGES for event in self._waiting)
        self._flushed_at = now
        self._number += 1
        payload: dict[str, Any] = {
            "flush": self._number,
            "t": self._t(points, events),
            "events": events,
            "progress": self._progress.get("progress", 0.0),
            "step": self._progress.get("step", 0),
            "total_steps": self._progress.get("total_steps", 0),
        }
        if points["step"]:
            payload["points"] = points
        if self._readings:
            payload |= self._device()
        if self._resumed and first is not None:
            self._resumed = False
            payload["resume_step"] = _first_step(first)
        return Flush(payload, dict(self._progress), snapshots)

    def _t(self, points: dict[str, list[Any]], events: list[dict[str, Any]]) -> float:
        """The engine's clock at the end of the flush: what its frame's own time is held against."""
        told = [points["t"][-1]] if points["t"] else []
        told += [event["t"] for event in events if isinstance(event.get("t"), int | float)]
        told += [t for t, _ in self._readings]
        self._last_t = max([self._last_t, *told])
        return self._last_t

    def _device(self) -> dict[str, Any]:
        device: dict[str, list[Any]] = {"t": [t for t, _ in self._readings]}
        for name in DEVICE.columns:
            device[name] = [getattr(reading, name) for _, reading in self._readings]
        last = self._readings[-1][1]
        self._readings = []
        self._progress["energy_wh"], self._progress["energy_source"] = last.energy_wh, last.source
        return {"device": device, "energy": {"wh": last.energy_wh, "source": last.source}}

    def _note(self, event: dict[str, Any]) -> None:
        """Keep what the cycle's row shows."""
        for name in ("progress", "step", "total_steps"):
            value = event.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                self._progress[name] = value
        if event.get("kind") == "stage_started" or event.get("kind") == "points":
            self._progress["stage"] = str(event.get("stage") or "")[:20]


def _first_step(event: dict[str, Any]) -> int:
    if event.get("kind") == "points":
        return max(0, int(event["points"]["step"][0]) - 1)
    return int(event.get("step") or 0)


def _shown(event: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The event as viewers get it, and its size: no server path, nothing huge."""
    shown = {key: value for key, value in event.items() if key != "path"}
    size = len(json.dumps(shown))
    if size > EVENT_BYTES:
        about = {key: shown.get(key) for key in ("t", "step", "progress")}
        message = f"An event ({str(event.get('kind'))[:40]}, {size} bytes) was too large to show."
        shown = {"kind": "log", "level": "warning", "message": message, **about}
        size = len(message)
    return shown, size
