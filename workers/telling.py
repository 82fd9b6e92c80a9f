"""The trainer's end of the pipe: events as JSON lines, steps gathered into columns. No torch."""

from __future__ import annotations

import json
import math
import os
import time
from typing import Any, Final

from consolidation.events import STEP_TERMS
from webapp.core.faults import fault

# Fast steps are gathered so long or so many, which makes a line of them cost what one step would.
GATHER_SECONDS: Final = 0.05
GATHER_POINTS: Final = 64


def finite(value: Any) -> Any:
    """The value as JSON can say it: NaN and infinities become null, unknown things text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return str(value)


class Teller:
    """Writes to the pipe. A supervisor that is gone is noticed elsewhere; the engine never hears of it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._points: dict[str, list[Any]] = {}
        self._about: dict[str, Any] = {}
        self._told_at = 0.0

    def event(self, body: dict[str, Any]) -> None:
        """One engine event in its JSON form."""
        if body["kind"] != "step":
            self.tell(body)
            return
        fault("trainer.step")
        if not self._points:
            self._points = {name: [] for name in ("step", "t", *STEP_TERMS)}
        for name, column in self._points.items():
            column.append(body.get(name))
        self._about = {name: body.get(name) for name in ("step", "t", "progress", "stage", "total_steps")}
        gathered = time.monotonic() - self._told_at
        if gathered >= GATHER_SECONDS or len(self._points["step"]) >= GATHER_POINTS:
            self._tell_points()

    def tell(self, body: dict[str, Any]) -> None:
        """One line at once, after the steps that came before it."""
        self._tell_points()
        self._write(body)

    def _tell_points(self) -> None:
        if self._points:
            body = {"kind": "points", **self._about, "points": self._points}
            self._points = {}
            self._told_at = time.monotonic()
            self._write(body)

    def _write(self, body: dict[str, Any]) -> None:
        line = (json.dumps(finite(body), separators=(",", ":")) + "\n").encode()
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError:
            return
