"""Our side of the comparison: points logged to a running cycle, as a worker writes them."""

from __future__ import annotations

import math
import time
from typing import Any

from tests.bench.site import cycles

A_FRAME, TOTAL = 250, 100_000


class Ours:
    """A cycle, the session of a person who may see it, and the same curve as rival_writer.py's."""

    def __init__(self) -> None:
        (self.cycle,), (self.session,) = cycles(1)
        self._step = 0
        stage = {"kind": "stage_started", "stage": "NREM replay", "round": 1, "t": 0.0, "step": 0}
        self._flush({"events": [stage]})

    def log(self, count: int = 1) -> tuple[int, float]:
        """The last step, and when the call that logged it began (ms since 1970)."""
        began = time.time() * 1000
        for start in range(0, count, A_FRAME):
            steps = [self._step + 1 + i for i in range(min(A_FRAME, count - start))]
            loss = [round(1 + math.sin(step / 700) + (step % 97) / 300, 5) for step in steps]
            points = {"step": steps, "t": [step / 50 for step in steps], "loss": loss}
            self._step = steps[-1]
            self._flush({"events": [], "points": points})
        return self._step, began

    def _flush(self, body: dict[str, Any]) -> None:
        from tests.support import night

        head = {"t": self._step / 50, "step": self._step, "total_steps": TOTAL}
        night.flush(self.cycle, head | body | {"progress": self._step / TOTAL})
