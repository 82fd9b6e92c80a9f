"""What happened in a cycle, read back from its stream: the stages, probes and decisions that count.

Times are the engine's seconds, in which the waits between two attempts do not exist; what a later attempt
began again from a snapshot is left out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from webapp.live.history import history_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from webapp.cycles.models import Cycle

LOSS_ROWS: Final = 400


@dataclass(slots=True)
class Stage:
    """From `start` to `end`, in seconds."""

    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Probe:
    """Scores (fractions of 1) of each task; `split` is watch or proof, `when` before, during or after."""

    at: float
    split: str
    when: str
    scores: dict[str, float]


@dataclass(frozen=True, slots=True)
class Told:
    """An event, and where it stands in the stream."""

    epoch: int
    event: dict[str, Any]

    @property
    def step(self) -> int:
        return int(self.event.get("step") or 0)

    @property
    def at(self) -> float:
        return float(self.event.get("t") or 0.0)


@dataclass(slots=True)
class Night:
    """`loss` rows are (seconds, last, low, high) of a bin, None where no number is finite."""

    stages: list[Stage] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    loss: list[tuple[float, float | None, float | None, float | None]] = field(default_factory=list)
    seconds: float = 0.0


def night_of(cycle: Cycle) -> Night:
    """The cycle's stream in short. About 10 queries, whatever its length."""
    told = json.loads(history_text(cycle.pk, points=LOSS_ROWS))
    events, resumed = standing(told["items"])
    night = Night()
    for item in events:
        night.seconds = max(night.seconds, item.at)
        _take(night, item)
    night.loss = _loss(told["points"], resumed)
    night.seconds = max([night.seconds, *(row[0] for row in night.loss)])
    for stage in night.stages:
        stage.end = min(stage.end, night.seconds)
    return night


def standing(frames: Iterable[dict[str, Any]]) -> tuple[list[Told], dict[int, int]]:
    """The events that no later attempt began again, and {attempt: the step that it went on from}."""
    events: list[Told] = []
    resumed: dict[int, int] = {}
    for frame in frames:
        payload, epoch = frame["payload"], frame["epoch"]
        resume = payload.get("resume_step")
        if resume is not None:
            # Extended, an attempt goes on once more from a later step; what it replaced at first stays so.
            resumed[epoch] = min(resume, resumed.get(epoch, resume))
            events = _up_to(events, resume)
        events += [Told(epoch, event) for event in payload.get("events", ())]
    return events, resumed


def _up_to(events: list[Told], resume: int) -> list[Told]:
    """What lies before the snapshot of that step: all that comes after it is run again."""
    if resume == 0:
        return []
    for index in reversed(range(len(events))):
        if events[index].event["kind"] == "snapshot" and events[index].step == resume:
            return events[: index + 1]
    return [item for item in events if item.step <= resume]


def _take(night: Night, item: Told) -> None:
    event = item.event
    match event["kind"]:
        case "stage_started":
            _close(night, item.at)
            night.stages.append(Stage(str(event["stage"]), item.at, float("inf")))
        case "stage_ended":
            _close(night, item.at)
        case "probe":
            night.probes.append(Probe(item.at, event["split"], event["when"], event["scores"]))
        case "decision":
            night.decisions.append(event)
            last = night.probes[-1] if night.probes else None
            # Taken back: what the probe showed of the proposal is not where the model stands.
            undone = not event["kept"] and (event.get("detail") or {}).get("before")
            if undone and last and (last.split, last.when) == ("watch", "during"):
                night.probes.pop()


def _close(night: Night, at: float) -> None:
    for stage in night.stages:
        stage.end = min(stage.end, max(stage.start, at))


def _loss(
    points: dict[str, Any], resumed: dict[int, int]
) -> list[tuple[float, float | None, float | None, float | None]]:
    loss = points.get("loss")
    if not loss:
        return []
    rows = []
    for i, (epoch, key, t) in enumerate(zip(points["epoch"], points["key"], points["t"], strict=True)):
        if all(key <= step for later, step in resumed.items() if later > epoch):
            rows.append((float(t), loss["last"][i], loss["low"][i], loss["high"][i]))
    return rows
