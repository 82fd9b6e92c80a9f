"""How long cycles take, from the last ones that ended well; how much longer the running ones do."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from tests.webapp import rows
from webapp.cycles.models import Transition
from webapp.fleet.durations import OF_PROJECT, SOON, Length, durations_of, length_of, time_left

if TYPE_CHECKING:
    from webapp.cycles.models import Cycle
    from webapp.projects.models import Project

TEN = Length(8, 10, 15)


def ended(
    project: Project, seconds: float, kind: str = "sleep", state: str = "succeeded", attempt: int = 1
) -> Cycle:
    now = timezone.now()
    made = rows.cycle(
        project, kind, state, attempt=attempt, started_at=now - timedelta(seconds=seconds), finished_at=now
    )
    Transition.objects.create(cycle=made, at=now, from_state="publishing", to_state=state, epoch=1)
    return made


@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=30))
def test_a_length_holds_its_median(seconds: list[float]) -> None:
    found = length_of(seconds)
    assert found is not None
    assert 0 <= found.low <= found.likely <= found.high
    assert min(seconds) <= found.likely <= max(seconds)


def test_a_few_are_loose_and_many_are_quarters() -> None:
    assert length_of([]) is None
    assert length_of([60]) == Length(40, 60, 90)
    assert length_of([10, 20, 30, 40, 1000]) == Length(20, 30, 40)


def left(**given: object) -> Length | None:
    facts = {"state": "running", "attempt": 1, "progress": 0.0, "elapsed": 0.0, "whole": TEN} | given
    return time_left(**facts)  # type: ignore[arg-type]


def test_the_pace_of_a_cycle_tells_when_it_ends() -> None:
    assert left(progress=0.25, elapsed=100.0) == Length(200, 300, 450)
    assert left(progress=0.25, elapsed=100.0, whole=None) == Length(200, 300, 450)


def test_before_it_has_a_pace_others_tell() -> None:
    assert left(elapsed=4.0) == Length(4, 6, 11)
    assert left(elapsed=9.0) == Length(0, 1, 6)
    assert left(elapsed=20.0) is None, "it takes longer than any that is known"
    assert left(whole=None) is None


def test_a_second_attempt_has_no_pace_of_its_own() -> None:
    assert left(attempt=2, progress=0.5, elapsed=7200.0) == Length(4, 5, 7.5)
    assert left(attempt=2, progress=0.5, elapsed=7200.0, whole=None) is None


def test_what_is_ending_ends_soon() -> None:
    for state in ("publishing", "pausing", "cancelling"):
        assert left(state=state, whole=None) == SOON


@given(st.floats(0, 1), st.floats(0, 1e6), st.integers(1, 3), st.sampled_from([None, TEN]))
def test_no_length_is_ever_negative(
    progress: float, elapsed: float, attempt: int, whole: Length | None
) -> None:
    found = left(progress=progress, elapsed=elapsed, attempt=attempt, whole=whole)
    assert found is None or 0 <= found.low <= found.likely <= found.high


def test_the_project_tells_before_the_kind_does(project: Project) -> None:
    fresh = rows.project_of(project.workspace, "fresh")
    for seconds in (100, 200, 300):
        ended(project, seconds)
    ended(project, 7, kind="score")
    known = durations_of([(project.pk, "sleep"), (fresh.pk, "sleep"), (fresh.pk, "wake")])
    of_own, of_kind = known.of(project.pk, "sleep"), known.of(fresh.pk, "sleep")
    assert of_own is not None
    assert of_kind is not None
    assert round(of_own.likely) == round(of_kind.likely) == 200
    ended(fresh, 10)
    own = durations_of([(fresh.pk, "sleep")]).of(fresh.pk, "sleep")
    assert own is not None
    assert round(own.likely) == 10
    assert known.of(fresh.pk, "wake") is None


def test_only_the_last_that_ended_well_and_undisturbed_count(project: Project) -> None:
    for _ in range(OF_PROJECT):
        ended(project, 5000)
    for _ in range(OF_PROJECT):
        ended(project, 50, state="rejected")
    ended(project, 1, state="cancelled")
    ended(project, 90000, attempt=2)
    found = durations_of([(project.pk, "sleep")]).of(project.pk, "sleep")
    assert found is not None
    assert round(found.likely) == 50


def test_of_nothing_nothing_is_asked(django_assert_num_queries: object, db: None) -> None:
    with django_assert_num_queries(0):  # type: ignore[operator]
        durations_of([])
