"""Accuracy against compute as an SVG written by hand: light and dark, readable by a screen reader."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from consolidation.benchmarks.labels import Box, Label, Mark, place_labels
from consolidation.benchmarks.table import Line, plus_minus

WIDTH, HEIGHT = 760, 460
LEFT, RIGHT, TOP, BOTTOM = 56, 24, 92, 62
# the product's task colours, light and dark (webapp/static/css/tokens.css); the first is the night's
TONES = (
    ("#2a5bc9", "#8fb4ff"), ("#b97800", "#e69f00"), ("#008560", "#00b389"), ("#b5527f", "#d98cb3"),
    ("#c75300", "#f07a3c"), ("#2f8fc4", "#4f8fe6"), ("#827a00", "#e8dc55"), ("#5f6879", "#9aa4b8"),
)  # fmt: skip
INKS = {
    "bg": ("#ffffff", "#151a24"), "grid": ("#e9ecf2", "#232a38"), "text": ("#161b26", "#e6eaf2"),
    "muted": ("#565f72", "#97a1b4"),
}  # fmt: skip


def compute_plot(title: str, found: Sequence[Line]) -> str:
    """The SVG's text: compute (times fine-tuning) to the right, ACC upwards, one mark a method with a bar of
    one standard deviation over seeds, its name and figure beside it. Methods without an ACC are left out."""
    points = [(line, line.compute, line.acc.mean, line.acc.sd or 0.0) for line in found if line.acc]
    left, right = 0.9, max([1.5, *(p[1] for p in points)]) * 1.02
    low = min((p[2] - p[3] for p in points), default=0.0)
    high = max((p[2] + p[3] for p in points), default=100.0)
    room = max(1.0, 0.06 * (high - low))
    low, high = low - room, high + room
    floor = HEIGHT - BOTTOM

    def x(value: float) -> float:
        return LEFT + 14 + (value - left) / (right - left) * (WIDTH - LEFT - RIGHT - 14)

    def y(value: float) -> float:
        return floor - (value - low) / (high - low) * (floor - TOP)

    said = "; ".join(f"{line.label} {plus_minus(line.acc)} % at {cost:.2f}" for line, cost, _, _ in points)
    seeds = sorted({line.seeds for line, *_ in points})
    over = f"{seeds[0]} seed{'s' if seeds[0] > 1 else ''}" if len(seeds) == 1 else "the seeds"
    size = min(16.0, (WIDTH - LEFT - RIGHT) / (0.56 * max(1, len(title))))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'aria-labelledby="title desc">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="desc">Average accuracy against compute over fine-tuning. {escape(said)}.</desc>',
        f"<style>{_style()}</style>",
        f'<rect class="bg" width="{WIDTH}" height="{HEIGHT}" rx="8"/>',
        f'<text class="head" style="font-size:{size:.1f}px" x="{LEFT - 32}" y="34">{escape(title)}</text>',
        f'<text class="tick" x="{LEFT - 32}" y="56">Mean over {over}; a bar is one standard deviation either '
        "way. Up and to the left is better.</text>",
        f'<text class="tick" x="{LEFT - 32}" y="{TOP - 12}">↑ average accuracy, %</text>',
        f'<text class="tick" x="{WIDTH - RIGHT}" y="{HEIGHT - 16}" text-anchor="end">compute, times '
        "fine-tuning</text>",
        f'<text class="tick" x="{LEFT}" y="{HEIGHT - 16}">← cheaper</text>',
    ]
    for value in _ticks(low, high):
        parts.append(f'<path class="grid" d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    parts.append(f'<path class="axis" d="M{LEFT} {floor}H{WIDTH - RIGHT}"/>')
    for value in _ticks(left, right):
        parts.append(f'<path class="axis" d="M{x(value):.1f} {floor}v5"/>')
        parts.append(f'<text class="tick" x="{x(value):.1f}" y="{floor + 20}" '
                     f'text-anchor="middle">{value:g}×</text>')  # fmt: skip
    marks = [Mark(x(c), y(a), y(a - sd) - y(a), f"{line.label} {_figure(line)}") for line, c, a, sd in points]
    labels = place_labels(marks, Box(LEFT, TOP, WIDTH - 4, floor))
    tones = _tones([line.label for line, *_ in points])
    for (line, *_), mark, label, tone in zip(points, marks, labels, tones, strict=True):
        parts += _drawn(line, mark, label, tone)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _figure(line: Line) -> str:
    if line.acc is None:
        return ""
    return f"{line.acc.mean:.1f}" + (f" ± {line.acc.sd:.1f}" if line.acc.sd is not None else "")


def _tones(names: Sequence[str]) -> list[int]:
    """The night has the first tone, whatever its place; the others take turns with the rest."""
    ours = [name == "sleep" for name in names]
    turn = iter(range(len(names)))
    return [0 if own else 1 + next(turn) % (len(TONES) - 1) for own in ours]


def _drawn(line: Line, mark: Mark, label: Label, tone: int) -> list[str]:
    """The bar, the mark, a line to a label that lies far off, and the label."""
    own = tone == 0
    parts = []
    if mark.reach:
        parts.append(f'<path class="t{tone} bar" d="M{mark.x:.1f} {mark.y - mark.reach:.1f}'
                     f'V{mark.y + mark.reach:.1f}"/>')  # fmt: skip
    if label.far:
        end = label.x - 2 if label.anchor == "start" else label.x + 2
        parts.append(f'<path class="t{tone} lead" d="M{mark.x:.1f} {mark.y:.1f}L{end:.1f} '
                     f'{label.y - 4:.1f}"/>')  # fmt: skip
    parts.append(
        f'<circle class="t{tone} mark" cx="{mark.x:.1f}" cy="{mark.y:.1f}" r="{6.5 if own else 5}"/>'
    )
    parts.append(
        f'<text class="name{" own" if own else ""}" x="{label.x:.1f}" y="{label.y:.1f}" '
        f'text-anchor="{label.anchor}">{escape(line.label)} <tspan class="figure">{_figure(line)}</tspan>'
        "</text>"
    )
    return parts


def _ticks(low: float, high: float) -> list[float]:
    """Three to seven round values between low and high."""
    span = max(high - low, 1e-6)
    step = 10.0 ** math.floor(math.log10(span / 4))
    step *= next(m for m in (1, 2, 5, 10) if span / (step * m) <= 6)
    return [round(step * n, 10) for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _style() -> str:
    def rules(which: int) -> str:
        tones = "".join(
            f".t{n}{{fill:{pair[which]};stroke:{pair[which]}}}" for n, pair in enumerate(TONES)
        )  # fmt: skip
        ink = {name: pair[which] for name, pair in INKS.items()}
        return (
            f"{tones}.bg{{fill:{ink['bg']}}}.grid{{stroke:{ink['grid']}}}.axis{{stroke:{ink['muted']}}}"
            f".head,.name{{fill:{ink['text']}}}.tick,.figure{{fill:{ink['muted']}}}.mark{{stroke:{ink['bg']}}}"
            f".name{{stroke:{ink['bg']}}}"
        )

    base = (
        'text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}.head{font-weight:600}'
        ".bar{stroke-width:2}.mark{stroke-width:1.5}.lead{stroke-width:1;opacity:.6}"
        # names stay readable over a grid line
        ".name{paint-order:stroke;stroke-width:4px;stroke-linejoin:round}.own{font-weight:600}"
        ".figure{font-weight:400;font-variant-numeric:tabular-nums}"
    )
    return f"{base}{rules(0)}@media (prefers-color-scheme:dark){{{rules(1)}}}"
