"""History in bins says the same as the raw points: count, last, low and high, however it was written."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows_free import free_states
from tests.webapp.conftest import logged_in
from tests.webapp.streams import collected
from webapp.live.bins import POINTS, merge, rows_of
from webapp.live.compaction import frames_compact
from webapp.live.frames import frame_write
from webapp.live.history import history_text, points_between
from webapp.live.models import Frame, Rollup
from webapp.live.rollups import LEVELS, RollupWriter
from webapp.projects.models import Project, Task

if TYPE_CHECKING:
    from uuid import UUID

    from webapp.accounts.models import User
    from webapp.cycles.models import Cycle


def night(first: int, count: int, seed: int = 0) -> list[tuple[int, float | None]]:
    """(step, loss) of some points, every hundredth of them a gap."""
    draw = np.random.default_rng(seed)
    return [(step, None if step % 100 == 7 else float(draw.normal())) for step in range(first, first + count)]


def write(cycle_id: UUID, epoch: int, points: list[tuple[int, float | None]], batch: int = 37) -> None:
    """As a worker does it: frames, and the rollups beside them, in one transaction each."""
    writer = RollupWriter()
    for at in range(0, len(points), batch):
        some = points[at : at + batch]
        payload: dict[str, Any] = {
            "points": {
                "step": [step for step, _ in some],
                "t": [step / 100 for step, _ in some],
                "loss": [value for _, value in some],
            }
        }
        parts = writer.add(payload)
        with transaction.atomic():
            writer.wrote(payload, frame_write(cycle_id=cycle_id, epoch=epoch, kind="data", payload=payload))
            writer.store(cycle_id, epoch, parts)


def brute(points: list[tuple[int, float | None]], level: int) -> list[dict[str, Any]]:
    bins: dict[int, list[tuple[int, float | None]]] = {}
    for step, value in points:
        bins.setdefault(step >> level, []).append((step, value))
    rows = []
    for mine in bins.values():
        known = [value for _, value in mine if value is not None]
        rows.append(
            {
                "key": mine[-1][0],
                "t": mine[-1][0] / 100,
                "count": len(mine),
                "gaps": len(mine) - len(known),
                "last": known[-1] if known else None,
                "low": min(known, default=None),
                "high": max(known, default=None),
            }
        )
    return rows


def shown(points: dict[str, Any]) -> list[dict[str, Any]]:
    loss = points["loss"]
    return [
        {name: points[name][i] for name in ("key", "t", "count", "gaps")}
        | {name: loss[name][i] for name in ("last", "low", "high")}
        for i in range(len(points["key"]))
    ]


@pytest.mark.parametrize("count", [1, 15, 300, 1_999, 2_001, 5_000, 30_000])
def test_history_says_what_the_raw_points_say(cycle: Cycle, count: int) -> None:
    points = night(1, count)
    write(cycle.pk, cycle.epoch, points)
    found = json.loads(history_text(cycle.pk))
    assert found["total"] == count
    assert found["shown"] == len(found["points"]["key"]) <= 2_000
    assert found["points"]["level"] == max(0, math.ceil(math.log2(count / 2_000)))
    assert shown(found["points"]) == brute(points, found["points"]["level"])


def test_long_histories_are_read_from_rollups_and_not_from_frames(cycle: Cycle) -> None:
    write(cycle.pk, cycle.epoch, night(1, 30_000))
    levels = set(Rollup.objects.values_list("level", flat=True))
    assert {4, 6} <= levels <= set(LEVELS)
    newest = Rollup.objects.filter(level=4).order_by("-first_key")[0]
    assert newest.after_seq > 0.8 * (30_000 / 37)


def test_attempts_stay_apart(cycle: Cycle) -> None:
    write(cycle.pk, cycle.epoch, night(1, 6_000))
    type(cycle).objects.filter(pk=cycle.pk).update(epoch=cycle.epoch + 1)
    write(cycle.pk, cycle.epoch + 1, night(4_001, 3_000, seed=1))
    found = json.loads(history_text(cycle.pk))
    assert found["total"] == 9_000
    level = found["points"]["level"]
    expected = brute(night(1, 6_000), level) + brute(night(4_001, 3_000, seed=1), level)
    assert shown(found["points"]) == expected
    assert sorted(set(found["points"]["epoch"])) == [cycle.epoch, cycle.epoch + 1]


@pytest.mark.parametrize(("low", "high"), [(1, 100), (5_000, 6_500), (11_900, 12_000), (100, 11_000)])
def test_a_zoom_is_finer(cycle: Cycle, low: int, high: int) -> None:
    points = night(1, 12_000)
    write(cycle.pk, cycle.epoch, points)
    found = points_between(cycle.pk, low, high)
    inside = [point for point in points if low <= point[0] <= high]
    rows = shown(found["points"])
    assert sum(row["count"] for row in rows) == len(inside)
    assert rows == brute(inside, found["points"]["level"])
    assert found["complete"] == (found["points"]["level"] == 0) == (high - low < 2_000)


def test_a_zoom_loses_nothing_at_its_edges_whatever_stands_between_the_frames(cycle: Cycle) -> None:
    points = night(1, 6_000)
    writer = RollupWriter()
    for at in range(0, len(points), 37):
        payload: dict[str, Any] = {
            "points": {
                "step": [step for step, _ in points[at : at + 37]],
                "t": [step / 100 for step, _ in points[at : at + 37]],
                "loss": [value for _, value in points[at : at + 37]],
            }
        }
        parts = writer.add(payload)
        with transaction.atomic():
            seq = frame_write(cycle_id=cycle.pk, epoch=cycle.epoch, kind="data", payload=payload)
            writer.wrote(payload, seq)
            writer.store(cycle.pk, cycle.epoch, parts)
        frame_write(cycle_id=cycle.pk, epoch=cycle.epoch, kind="data", payload={"events": []})
    for low in range(1, 5_500, 173):
        found = points_between(cycle.pk, low, low + 500)
        assert found["points"]["key"] == list(range(low, low + 501)), low


def end(cycle: Cycle, days: int) -> None:
    ended = timezone.now() - timedelta(days=days)
    with free_states():
        type(cycle).objects.filter(pk=cycle.pk).update(state="succeeded", finished_at=ended)


@pytest.mark.django_db(transaction=True)  # the export reads on a connection of its own
def test_old_streams_are_kept_in_short_and_say_the_same(cycle: Cycle, vera: User) -> None:
    stage = {"kind": "stage_started", "stage": "NREM replay", "round": 1, "t": 0.0, "step": 0}
    frame_write(cycle_id=cycle.pk, epoch=cycle.epoch, kind="data", payload={"events": [stage], "t": 0.0})
    points = night(1, 5_000)
    write(cycle.pk, cycle.epoch, points)
    before = json.loads(history_text(cycle.pk, points=300))
    frames = Frame.objects.filter(cycle=cycle).count()
    end(cycle, days=1)
    assert frames_compact() == 0
    end(cycle, days=30)
    assert frames_compact() == 1
    assert frames_compact() == 0
    assert Frame.objects.filter(cycle=cycle).count() < frames / 10
    after = json.loads(history_text(cycle.pk, points=300))
    assert after == before
    exact = json.loads(history_text(cycle.pk))
    assert shown(exact["points"]) == brute(points, 4), "bins of 16 steps are what is left"
    page = logged_in(vera).get(f"/api/cycles/{cycle.pk}/frames?after=0").json()
    assert (page["reset"], page["compacted"], page["items"]) == (True, True, [])
    lines = export(cycle, vera).splitlines()
    assert lines[0].startswith("attempt,step,t,points,loss,loss_low,loss_high")
    assert len(lines) == 1 + len(brute(points, 4))


def export(cycle: Cycle, user: User) -> str:
    answer = logged_in(user).get(f"/cycles/{cycle.pk}/points.csv")
    return collected(answer).decode()


@pytest.mark.django_db(transaction=True)
def test_the_export_has_every_number_as_it_was_stored(cycle: Cycle, vera: User, charlie: User) -> None:
    points = night(1, 1_000)
    write(cycle.pk, cycle.epoch, points)
    rows = list(csv.DictReader(io.StringIO(export(cycle, vera))))
    assert [(int(row["step"]), row["loss"]) for row in rows] == [
        (step, "" if value is None else repr(value)) for step, value in points
    ]
    assert {row["attempt"] for row in rows} == {str(cycle.epoch)}
    assert logged_in(charlie).get(f"/cycles/{cycle.pk}/points.csv").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_a52_no_field_of_the_export_is_a_text_that_somebody_gave(cycle: Cycle, vera: User) -> None:
    """A spreadsheet would run a name that begins like a formula; here stand only our words and numbers."""
    Project.objects.filter(pk=cycle.project_id).update(name="=1+1")
    first = Task.objects.filter(project_id=cycle.project_id)[0]
    Task.objects.filter(pk=first.pk).update(name='=HYPERLINK("http://a.example")')
    write(cycle.pk, cycle.epoch, night(1, 100))
    head, *rows = csv.reader(io.StringIO(export(cycle, vera)))
    assert all(re.fullmatch(r"[a-z_]+", name) for name in head)
    assert all(field == "" or math.isfinite(float(field)) for row in rows for field in row)


def test_over_http_it_is_for_those_who_may_look(cycle: Cycle, vera: User, charlie: User) -> None:
    write(cycle.pk, cycle.epoch, night(1, 100))
    address = f"/api/cycles/{cycle.pk}/history"
    assert Client().get(address).status_code == 401
    assert logged_in(charlie).get(address).status_code == 404
    assert logged_in(vera).get(address).json()["total"] == 100
    zoomed = logged_in(vera).get(f"/api/cycles/{cycle.pk}/points?low=10&high=19").json()
    assert zoomed["points"]["key"] == list(range(10, 20))


@given(
    st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=200),
    st.integers(0, 6),
    st.integers(0, 6),
)
def test_merging_twice_is_merging_once(values: list[float | None], first: int, second: int) -> None:
    columns: dict[str, list[Any]] = {
        "step": list(range(1, len(values) + 1)),
        "t": [0.5] * len(values),
        "loss": values,
    }
    rows = rows_of(POINTS, columns)
    low, high = sorted((first, second))
    np.testing.assert_array_equal(merge(merge(rows, low), high), merge(rows, high))
