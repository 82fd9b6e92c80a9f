"""The report's drawings as numbers for inline SVG: the hypnogram and the charts. Pure geometry, in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from webapp.core.plotting import Scale, path, task_colour, ticks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webapp.reports.night import Night, Stage

WIDTH: Final = 960
LEFT: Final = 112
RIGHT: Final = 12
ROW: Final = 22
HEIGHT: Final = 220
FOOT: Final = 22
# The same lanes and colours as on the live page (static/js/stages.js); a test compares them.
LANE: Final = {
    "wake probe": ("Awake", "stage-awake"),
    "morning probe": ("Awake", "stage-awake"),
    "scoring": ("Scoring", "stage-awake"),
    "learning": ("Learning", "stage-nrem"),
    "merging": ("Merging", "stage-merging"),
    "REM dreaming": ("REM dreaming", "stage-rem"),
    "NREM replay": ("NREM replay", "stage-nrem"),
    "significance": ("Downscaling", "stage-significance"),
    "downscaling": ("Downscaling", "stage-downscaling"),
}
LANES: Final = {
    "sleep": ("Awake", "Merging", "REM dreaming", "NREM replay", "Downscaling"),
    "wake": ("Awake", "Learning"),
    "score": ("Scoring",),
}


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with its colour token and a title."""

    x: float
    y: float
    width: float
    height: float
    token: str
    title: str


@dataclass(frozen=True, slots=True)
class Label:
    """A word at a place."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Hypnogram:
    """Lanes from top to bottom; `steps` joins the stages; ticks are probes, long ones proof."""

    height: float
    floor: float
    lanes: list[Label]
    bars: list[Box]
    steps: str
    ticks: list[tuple[float, float]]
    clock: list[Label]


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: `data` its path, `band` the area between low and high, `rule` a dashed level."""

    name: str
    token: str
    data: str
    dots: str = ""
    band: str = ""
    rule: float | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves over the stages of the night."""

    height: float
    floor: float
    bands: list[Box]
    marks: list[Label]
    clock: list[Label]
    lines: list[Line]


def time_scale(seconds: float) -> Scale:
    """Seconds to x."""
    return Scale(0.0, max(seconds, 1e-9), LEFT, WIDTH - RIGHT)


def hypnogram(night: Night, kind: str) -> Hypnogram:
    """The stages as a sleep tracker draws them."""
    lanes = LANES.get(kind, LANES["sleep"])
    x = time_scale(night.seconds)
    floor = 8 + len(lanes) * ROW
    bars, steps, before = [], [], None
    for stage in night.stages:
        lane, token = LANE.get(stage.name, ("Awake", "stage-awake"))
        if lane not in lanes:
            continue
        middle = 8 + lanes.index(lane) * ROW + ROW / 2
        start = x(stage.start)
        width = max(2.0, round(x(stage.end) - start, 2))
        bars.append(Box(start, middle - 6, width, 12, token, _title(stage)))
        if before is not None and before != middle:
            steps.append(f"M{start:g} {before:g}V{middle:g}")
        before = middle
    return Hypnogram(
        height=floor + 10 + FOOT,
        floor=floor,
        lanes=[Label(8 + i * ROW + ROW / 2, lane) for i, lane in enumerate(lanes)],
        bars=bars,
        steps="".join(steps),
        ticks=[(x(probe.at), 10.0 if probe.split == "proof" else 5.0) for probe in night.probes],
        clock=clock(night.seconds),
    )


def scores_chart(night: Night, tasks: Sequence[str], places: Mapping[str, int]) -> Chart | None:
    """The watch scores of each task over the night, its score before as a dashed level; None without any.

    Args:
        places: each task's place in the order of learning, from 0: its colour.
    """
    watched = [probe for probe in night.probes if probe.split == "watch"]
    seen = [v for probe in watched for task, v in probe.scores.items() if task in tasks]
    if len(watched) < 2 or not seen:
        return None
    low, high = _span(seen)
    y = Scale(low, high, HEIGHT - FOOT, 8)
    x = time_scale(night.seconds)
    lines = []
    for task in tasks:
        points = [(x(p.at), y(p.scores[task])) for p in watched if task in p.scores]
        if points:
            dots = "".join(f"M{px:g} {py:g}h0" for px, py in points)
            lines.append(
                Line(task, f"task-{task_colour(places[task])}", path(points), dots, rule=points[0][1])
            )
    return Chart(HEIGHT, HEIGHT - FOOT, _bands(night), _marks(low, high, y), clock(night.seconds), lines)


def _span(scores: Sequence[float]) -> tuple[float, float]:
    """Where the axis of scores begins and ends.

    A language model's, 1 / perplexity, would all lie on the floor of a picture up to 1; the live page draws
    the line at the same place (static/js/charts.js).
    """
    highest = max(scores)
    if 0 < highest < 0.2:
        return 0.0, 1.25 * highest
    return max(0.0, int(min(scores) * 10 - 0.5) / 10), 1.0


def loss_chart(night: Night) -> Chart | None:
    """The loss that was minimised, each bin's last value with its lowest and highest around; None without."""
    finite = [v for _, *values in night.loss for v in values if v is not None]
    if not finite:
        return None
    # A first spike must not flatten the rest: the axis ends above all but the highest hundredth.
    highs = sorted(high for _, _, _, high in night.loss if high is not None)
    top = highs[min(len(highs) - 1, int(len(highs) * 0.99))] * 1.05 or 1.0
    y = Scale(min(0.0, min(finite)), max(top, max(0.0, min(finite)) + 1e-9), HEIGHT - FOOT, 8)
    x = time_scale(night.seconds)

    def inside(value: float) -> float:
        return max(8.0, y(value))

    data = path((x(t), None if last is None else inside(last)) for t, last, _, _ in night.loss)
    upper = [(x(t), inside(high)) for t, _, _, high in night.loss if high is not None]
    lower = [(x(t), inside(low)) for t, _, low, _ in night.loss if low is not None]
    band = "M" + "L".join(f"{px:g} {py:g}" for px, py in [*upper, *reversed(lower)]) + "Z"
    line = Line("Loss", "accent", data, band=band)
    return Chart(HEIGHT, HEIGHT - FOOT, _bands(night), _marks(y.low, y.high, y), clock(night.seconds), [line])


def clock(seconds: float) -> list[Label]:
    """Round moments along the time axis."""
    unit = 3600 if seconds >= 7200 else 60 if seconds >= 180 else 1
    word = {3600: "h", 60: "min", 1: "s"}[unit]
    x = time_scale(seconds)
    return [Label(x(n * unit), f"{n:g} {word}") for n in ticks(0.0, seconds / unit, 8)]


def _title(stage: Stage) -> str:
    return f"{stage.name}: {stage.end - stage.start:.1f} s"


def _bands(night: Night) -> list[Box]:
    x = time_scale(night.seconds)
    return [
        Box(x(s.start), 8, max(0.0, round(x(s.end) - x(s.start), 2)), HEIGHT - FOOT - 8,
            LANE.get(s.name, ("", "stage-awake"))[1], _title(s))
        for s in night.stages
    ]  # fmt: skip


def _marks(low: float, high: float, y: Scale) -> list[Label]:
    return [Label(y(value), _plain(value)) for value in ticks(low, high, 5)]


def _plain(value: float) -> str:
    """Without an exponent where it can be read without: "0.00005", "0"."""
    return f"{value:.6f}".rstrip("0").rstrip(".") if 1e-6 <= abs(value) < 1e6 else f"{value:g}"
