"""History over HTTP: pages, holes, and nothing for strangers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import night
from tests.support.night_script import Night
from tests.webapp.conftest import logged_in
from webapp.live.models import Frame

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.cycles.models import Cycle


def full(row: Frame) -> dict[str, Any]:
    """The payload as it was written."""
    measured = {"points": row.points, "device": row.device}
    payload: dict[str, Any] = row.payload
    return payload | {name: json.loads(text) for name, text in measured.items() if text}


@pytest.fixture
def played(cycle: Cycle) -> Cycle:
    night.play(cycle, Night(seconds=4))
    cycle.refresh_from_db()
    return cycle


def test_pages_of_frames_are_gapless_and_say_whether_there_are_more(played: Cycle, vera: User) -> None:
    client = logged_in(vera)
    got: list[dict[str, Any]] = []
    while True:
        after = got[-1]["seq"] if got else 0
        page = client.get(f"/api/cycles/{played.pk}/frames?after={after}&limit=7").json()
        got += page["items"]
        assert page["last"] == played.seq
        if not page["more"]:
            break
    rows = Frame.objects.filter(cycle=played).order_by("seq")
    assert [frame["seq"] for frame in got] == list(range(1, played.seq + 1))
    assert [(f["epoch"], f["t_ms"], f["kind"], f["payload"]) for f in got] == [
        (row.epoch, row.t_ms, row.kind, full(row)) for row in rows
    ]


def test_a_page_of_large_frames_ends_early_and_the_rest_follows(cycle: Cycle, vera: User) -> None:
    words = "x" * 100_000
    for step in range(120):
        events = [{"kind": "log", "t": 1.0, "step": step, "level": "info", "message": words}]
        night.flush(cycle, {"events": events, "t": 1.0, "progress": 0.1, "step": step, "total_steps": 200})
    cycle.refresh_from_db()
    client, after, pages = logged_in(vera), 0, 0
    while True:
        page = client.get(f"/api/cycles/{cycle.pk}/frames?after={after}&limit=2000").json()
        assert [frame["seq"] for frame in page["items"]] == list(
            range(after + 1, after + 1 + len(page["items"]))
        )
        after, pages = page["items"][-1]["seq"], pages + 1
        if not page["more"]:
            break
    assert after == cycle.seq
    assert pages == 3


@pytest.mark.parametrize("query", ["high=" + "9" * 400, "low=-1", "low=1e9", "high=nan", "points=49"])
def test_steps_that_cannot_be_are_refused(played: Cycle, vera: User, query: str) -> None:
    answer = logged_in(vera).get(f"/api/cycles/{played.pk}/points?{query}")
    assert answer.status_code == 422
    assert answer.json()["code"] == "request.invalid"


def test_nothing_new_is_an_empty_page(played: Cycle, alice: User) -> None:
    page = logged_in(alice).get(f"/api/cycles/{played.pk}/frames?after={played.seq}").json()
    assert page == {"items": [], "last": played.seq, "more": False}


@pytest.mark.parametrize("after", [-1, 10_000])
def test_a_number_of_another_stream_resets(played: Cycle, alice: User, after: int) -> None:
    page = logged_in(alice).get(f"/api/cycles/{played.pk}/frames?after={after}").json()
    assert page == {"items": [], "last": played.seq, "more": False, "reset": True, "compacted": False}


@pytest.mark.parametrize("query", ["after=x", "limit=0", "limit=5000", f"after={2**70}"])
def test_nonsense_is_refused_with_a_sentence(played: Cycle, alice: User, query: str) -> None:
    answer = logged_in(alice).get(f"/api/cycles/{played.pk}/frames?{query}")
    assert answer.status_code in {200, 422}
    assert answer.json().get("reset") or answer.json()["code"] == "request.invalid"


@pytest.mark.parametrize("tail", ["", "/frames"])
def test_a_stranger_gets_404_and_nobody_401(played: Cycle, charlie: User, tail: str) -> None:
    from django.test import Client

    assert logged_in(charlie).get(f"/api/cycles/{played.pk}{tail}").status_code == 404
    assert Client().get(f"/api/cycles/{played.pk}{tail}").status_code == 401


def test_the_history_takes_the_same_queries_however_long_it_is(
    played: Cycle, alice: User, django_assert_max_num_queries: object
) -> None:
    client = logged_in(alice)
    with django_assert_max_num_queries(4):  # type: ignore[operator]
        client.get(f"/api/cycles/{played.pk}/frames?limit=2000")
