"""Accuracy against compute as an SVG written by hand: light and dark, readable by a screen reader."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise

from consolidation.benchmarks.table import Line, plus_minus

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 58, 56
# the product's task colours, light and dark (webapp/static/css/tokens.css)
TONES = (
    ("#2a5bc9", "#8fb4ff"), ("#b97800", "#e69f00"), ("#008560", "#00b389"), ("#b5527f", "#d98cb3"),
    ("#c75300", "#f07a3c"), ("#2f8fc4", "#4f8fe6"), ("#827a00", "#e8dc55"), ("#5f6879", "#9aa4b8"),
)  # fmt: skip
INKS = {
    "bg": ("#ffffff", "#151a24"), "grid": ("#e2e6ed", "#232a38"), "text": ("#161b26", "#e6eaf2"),
    "muted": ("#565f72", "#97a1b4"),
}  # fmt: skip


def compute_plot(title: str, found: Sequence[Line]) -> str:
    """The SVG's text: compute (times fine-tuning) to the right, ACC upwards, one mark a method with a bar of
    one standard deviation over seeds. Methods without an ACC are left out."""
    shown = [line for line in found if line.acc is not None]
    points = [(line, line.compute, line.acc.mean, line.acc.sd or 0.0) for line in shown if line.acc]
    x_ticks = _ticks(min([0.9, *(p[1] for p in points)]), max([1.5, *(p[1] for p in points)]))
    y_ticks = _ticks(
        min((p[2] - p[3] for p in points), default=0), max((p[2] + p[3] for p in points), default=100)
    )

    def x(value: float) -> float:
        return LEFT + (value - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * (HEIGHT - TOP - BOTTOM)

    said = "; ".join(f"{line.label} {plus_minus(line.acc)} % at {cost:.2f}" for line, cost, _, _ in points)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'aria-labelledby="title desc">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="desc">Average accuracy against compute over fine-tuning. {escape(said)}.</desc>',
        f"<style>{_style()}</style>",
        f'<rect class="bg" width="{WIDTH}" height="{HEIGHT}" rx="8"/>',
        f'<text class="head" x="{LEFT}" y="32">{escape(title)}</text>',
    ]
    for value in x_ticks:
        parts.append(f'<path class="grid" d="M{x(value):.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text class="tick" x="{x(value):.1f}" y="{HEIGHT - BOTTOM + 18}" '
                     f'text-anchor="middle">{value:g}×</text>')  # fmt: skip
    for value in y_ticks:
        parts.append(f'<path class="grid" d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    parts.append(f'<text class="tick" x="{LEFT}" y="{HEIGHT - 14}">compute, times fine-tuning</text>')
    parts.append(f'<text class="tick" x="{LEFT}" y="{TOP - 8}">ACC, %</text>')
    labels = _apart([y(acc) for _, _, acc, _ in points])
    for number, ((line, cost, acc, sd), place) in enumerate(zip(points, labels, strict=True)):
        tone = f"t{number % len(TONES)}"
        if sd:
            parts.append(f'<path class="{tone} bar" d="M{x(cost):.1f} {y(acc - sd):.1f}V{y(acc + sd):.1f}"/>')
        parts.append(f'<circle class="{tone}" cx="{x(cost):.1f}" cy="{y(acc):.1f}" r="5"/>')
        parts.append(f'<path class="{tone} lead" d="M{x(cost) + 6:.1f} {y(acc):.1f}L{x(cost) + 14:.1f} '
                     f'{place:.1f}"/>')  # fmt: skip
        parts.append(f'<text class="name" x="{x(cost) + 17:.1f}" y="{place + 4:.1f}">{escape(line.label)} '
                     f"{acc:.1f}</text>")  # fmt: skip
    return "\n".join([*parts, "</svg>"]) + "\n"


def _ticks(low: float, high: float) -> list[float]:
    """Four to nine round values that enclose low and high."""
    span = max(high - low, 1e-6)
    step = 10 ** math.floor(math.log10(span / 4))
    step *= next(m for m in (1, 2, 5, 10) if span / (step * m) <= 6)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(step * index, 10) for index in range(first, max(last, first + 1) + 1)]


def _apart(places: Sequence[float], least: float = 15.0) -> list[float]:
    """The same heights, moved so that no two labels overlap."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    found = list(places)
    for above, below in pairwise(order):
        found[below] = max(found[below], found[above] + least)
    excess = max((found[index] for index in order), default=0.0) - (HEIGHT - BOTTOM)
    return [place - excess for place in found] if excess > 0 else found


def _style() -> str:
    def rules(which: int) -> str:
        tones = "".join(
            f".t{n}{{fill:{pair[which]};stroke:{pair[which]}}}" for n, pair in enumerate(TONES)
        )  # fmt: skip
        ink = {name: pair[which] for name, pair in INKS.items()}
        return (
            f".bg{{fill:{ink['bg']}}}.grid{{stroke:{ink['grid']}}}.head,.name{{fill:{ink['text']}}}"
            f".tick{{fill:{ink['muted']}}}{tones}"
        )

    base = (
        'text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}.head{font-size:16px;'
        "font-weight:600}.bar{stroke-width:2}.lead{stroke-width:1;fill:none}"
    )
    return f"{base}{rules(0)}@media (prefers-color-scheme:dark){{{rules(1)}}}"
