"""The events of a night, made up: nothing here is a result.

Tests of the live view play it, because they must not wait for a model to learn.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

TASKS = ("returns", "billing", "shipping", "refunds de", "refunds fr", "warranty")


@dataclass
class Night:
    """The events of one attempt, cut into flushes. `seconds` is its length in engine time."""

    tasks: tuple[str, ...] = TASKS
    seconds: float = 60.0
    rounds: int = 2
    seed: int = 7
    resume_step: int | None = None
    per_flush: float = 0.1
    total: int = 2_000
    _random: random.Random = field(init=False)
    _wh: float = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._wh = 0.0

    def scores(self, progress: float, jitter: float) -> dict[str, float]:
        """What the tasks score when so much of the night is over."""
        found = {}
        for j, name in enumerate(self.tasks):
            low = max(0.2, 0.97 - 0.115 * (len(self.tasks) - 1 - j) - 0.01 * j)
            high = 0.955 - 0.008 * j
            value = low + (high - low) * (1 - math.exp(-4 * progress)) + self._random.gauss(0, jitter)
            found[name] = round(min(1.0, value), 4)
        return found

    def plan(self) -> list[tuple[str, int, float]]:
        """Stage, round and share of the night."""
        inner = []
        for turn in range(1, self.rounds + 1):
            share = 0.86 / self.rounds
            inner += [
                ("NREM replay", turn, share * 0.66), ("significance", turn, share * 0.08),
                ("downscaling", turn, share * 0.1), ("REM dreaming", turn, share * 0.16),
            ]  # fmt: skip
        return [("wake probe", 1, 0.04), ("merging", 1, 0.05), *inner, ("morning probe", 1, 0.05)]

    def flushes(self) -> Iterator[dict[str, Any]]:
        """Payloads of data frames; a resume begins inside its stage."""
        self._events: list[dict[str, Any]] = []
        self._t, self._step = 0.0, 0
        resume = self.resume_step
        for stage, turn, share in self.plan():
            length = share * self.seconds
            replays = stage in {"NREM replay", "REM dreaming"}
            steps = int(self.total * share / 0.71) if replays else 0
            if resume is not None and self._step + steps <= resume:
                self._t, self._step = self._t + length, self._step + steps
                continue
            end, last = self._t + length, self._step + steps
            if resume is not None:
                self._t, self._step = end - length * (last - resume) / steps, resume
            self._event("stage_started", stage=stage, round=turn)
            self._open(stage)
            if stage == "downscaling":
                self._histograms(turn, "before")
            for payload in self._run(replays, end, last):
                if resume is not None:
                    payload["resume_step"], resume = resume, None
                yield payload
            self._close(stage, turn)
            self._event("stage_ended", stage=stage, round=turn, seconds=round(length, 2))
        yield {
            "events": self._events, "t": self._t, "progress": 1.0, "step": self._step,
            "total_steps": self.total,
        }  # fmt: skip

    def _event(self, kind: str, **values: Any) -> None:
        done = round(self._t / self.seconds, 4)
        head = {"kind": kind, "t": round(self._t, 3), "step": self._step, "progress": done}
        self._events.append({**head, **values})

    def _run(self, replays: bool, end: float, last: int) -> Iterator[dict[str, Any]]:
        begin, start, probed = self._step, self._t, self._t
        while self._t < end - 1e-9:
            tick = min(self.per_flush, end - self._t)
            until = (
                begin + round((last - begin) * (self._t + tick - start) / (end - start)) if replays else begin
            )
            points = self._points(self._step, until, self._t, tick)
            self._t, self._step = self._t + tick, until
            if replays and self._t - probed > self.seconds / 40:
                probed = self._t
                self._event(
                    "probe", split="watch", when="during", scores=self.scores(self._t / self.seconds, 0.006)
                )
            events, self._events = self._events, []
            payload = {
                "events": events, "t": round(self._t, 4), "progress": round(self._t / self.seconds, 4),
                "step": self._step, "total_steps": self.total, **self._device(tick),
            }  # fmt: skip
            yield payload | ({"points": points} if points["step"] else {})

    def _device(self, tick: float) -> dict[str, Any]:
        """A look a second, as a supervisor takes it."""
        if int(self._t) == int(self._t - tick):
            return {}
        watts = 8 + 4 * self._random.random()
        self._wh += watts / 3600
        device = {
            "t": [round(self._t, 3)], "cpu": [round(0.4 + 0.2 * self._random.random(), 4)],
            "memory": [400_000_000 + 1_000_000 * int(self._t)], "gpu": [None], "gpu_memory": [None],
            "watts": [round(watts, 2)],
        }  # fmt: skip
        return {"device": device, "energy": {"wh": round(self._wh, 6), "source": "estimated"}}

    def _histograms(self, turn: int, when: str) -> None:
        for name, low, high, middle in (("significance", -18, 2, -6), ("weights", -6, 2, -1)):
            bins = 40 if name == "significance" else 32
            edges = [low + (high - low) * i / bins for i in range(bins + 1)]
            shift = 0.2 if when == "after" else 0.0
            counts = [round(4_000 * math.exp(-((edge - middle - shift) ** 2) / 3)) for edge in edges[:-1]]
            zeros = 120 * turn if when == "after" else 120 * (turn - 1)
            self._event(
                "histogram", name=name, when=when, round=turn, edges=edges, counts=counts, zeros=zeros
            )

    def _open(self, stage: str) -> None:
        if stage == "wake probe":
            words = "6 tasks, 3,000 memories, 1,400 watch and 1,600 proof examples."
            self._event("log", level="info", message=words)
            self._both("before", 0.0)
        if stage == "merging":
            words = "Merged with v5: mean watch score rose by 0.021."
            self._event("decision", name="merge", kept=True, reason=words, detail={"weight": 0.1})

    def _close(self, stage: str, turn: int) -> None:
        if stage == "downscaling":
            self._histograms(turn, "after")
            words = "Pruned 2.0 % of the weights: mean watch score fell by 0.001, within 0.002."
            detail = {"share": 0.02, "sparsity": 0.02 * turn}
            self._event("decision", name="prune", kept=True, reason=words, detail=detail)
            kept = turn == 1
            words = "Strengthening cost billing 0.013, more than 0.010: reverted exactly."
            words = "Strengthened the top 10 %: no task fell." if kept else words
            self._event("decision", name="strengthen", kept=kept, reason=words, detail={})
            self._event("snapshot", path=f"snapshot-{turn}", stage=stage)
        if stage == "morning probe":
            self._both("after", 1.0)
            reasons = ["Mean retention rose from 0.64 to 0.98."]
            self._event("verdict", verdict="improved", reasons=reasons, metrics={})

    def _both(self, when: str, progress: float) -> None:
        for split in ("watch", "proof"):
            self._event("probe", split=split, when=when, scores=self.scores(progress, 0.004))

    def _points(self, start: int, until: int, t: float, tick: float) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {
            name: []
            for name in (
                "step",
                "t",
                "loss",
                "ce",
                "distill",
                "reconstruct",
                "anchor",
                "grad_norm",
                "lr",
                "noise",
            )
        }
        count = until - start
        for i in range(count):
            step = start + i + 1
            ce = 0.25 + 0.9 * math.exp(-step / 400) + abs(self._random.gauss(0, 0.05))
            distill = 0.15 + 0.7 * math.exp(-step / 300) + abs(self._random.gauss(0, 0.04))
            row = {
                "step": step, "t": round(t + tick * (i + 1) / count, 4), "ce": ce, "distill": distill,
                "loss": None if step % 700 == 0 else ce + distill, "reconstruct": None, "anchor": None,
                "grad_norm": 0.4 + 1.6 * math.exp(-step / 500) + abs(self._random.gauss(0, 0.15)),
                "lr": 0.1, "noise": 0.05,
            }  # fmt: skip
            for name, column in columns.items():
                value = row[name]
                column.append(round(value, 4) if isinstance(value, float) else value)
        return columns
