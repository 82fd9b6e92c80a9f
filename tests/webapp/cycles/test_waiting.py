"""Why nothing takes a cycle: each cause that a person can do something about has its own sentence."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.support.jobs import Lab, worker
from tests.webapp.conftest import logged_in
from tests.webapp.cycles.test_services import ready_to_sleep
from webapp.cycles.blocking import cycle_block
from webapp.cycles.choices import State
from webapp.cycles.claim import claim
from webapp.cycles.models import Cycle
from webapp.cycles.selectors import cycle_state
from webapp.cycles.services import cycle_start
from webapp.cycles.steering import cycle_cancel, cycle_pause
from webapp.cycles.waiting import waiting_reason
from webapp.fleet.models import Worker


def there(**fields: Any) -> Worker:
    """A live worker that is as `fields` say."""
    made = worker()
    Worker.objects.filter(pk=made.pk).update(**fields)
    return Worker.objects.get(pk=made.pk)


def asking(lab: Lab, **fields: Any) -> Cycle:
    cycle = lab.wake()
    Cycle.objects.filter(pk=cycle.pk).update(**fields)
    return Cycle.objects.get(pk=cycle.pk)


GB = 10**9
CASES: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("cycle.no_version", {"protocol": 0}, {}, "another version"),
    ("cycle.no_device", {"device": "cpu"}, {"device": "cuda"}, "asks for cuda, and the workers"),
    (
        "cycle.no_memory",
        {"device": "cuda:0", "device_memory_bytes": 8 * GB},
        {"memory_bytes": 12 * GB},
        "needs about 12.0 GB on the device, and the largest that is alive has 8.0 GB",
    ),
    ("cycle.draining", {"draining_at": timezone.now()}, {}, "being drained"),
    (
        "cycle.worker_problem",
        {"problem_code": "store.missing", "problem": "The store is not mounted."},
        {},
        "bench-cpu-0 could take it, but it has a problem: The store is not mounted.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("code", "has", "asks", "words"), CASES, ids=[case[0] for case in CASES])
def test_what_stands_in_the_way_is_named(
    lab: Lab, code: str, has: dict[str, Any], asks: dict[str, Any], words: str
) -> None:
    there(**has)
    reason = waiting_reason(asking(lab, **asks))
    assert reason is not None
    assert reason["code"] == code
    assert words in reason["message"]


def test_without_a_live_worker_it_says_so(lab: Lab) -> None:
    cycle = lab.wake()
    there(heartbeat_at=timezone.now() - timedelta(minutes=2))
    reason = waiting_reason(cycle)
    assert reason is not None and reason["code"] == "cycle.no_worker"


@pytest.mark.parametrize(
    ("has", "asks"),
    [
        ({}, {}),
        ({"device": "cuda:1"}, {"device": "cuda"}),
        ({"device_memory_bytes": 0}, {"memory_bytes": 12 * GB}),
        ({"device_memory_bytes": 12 * GB}, {"memory_bytes": 12 * GB}),
    ],
)
def test_no_reason_exactly_when_a_worker_takes_it(
    lab: Lab, has: dict[str, Any], asks: dict[str, Any]
) -> None:
    """The sentence and the claim follow the same rule."""
    cycle, taker = asking(lab, **asks), there(**has)
    assert waiting_reason(cycle) is None
    assert claim(worker=taker) is not None


def test_what_does_not_wait_has_no_reason_and_the_state_carries_it(lab: Lab) -> None:
    cycle = lab.wake()
    state = cycle_state(cycle)
    assert state["waiting"]["code"] == "cycle.no_worker"
    assert (state["held"], state["device"], state["extended"], state["can_extend"]) == (None, None, 0, True)
    paused = cycle_pause(actor=lab.alice, cycle=cycle)
    assert (paused.state, waiting_reason(paused), cycle_state(paused)["waiting"]) == (
        State.PAUSED,
        None,
        None,
    )


def test_behind_a_blocked_one_the_state_says_so(lab: Lab, django_assert_max_num_queries: Any) -> None:
    """A live worker could take it, and does not: the turn is that of the blocked one."""
    ready_to_sleep(lab)
    first, blocked, behind = (
        cycle_start(actor=lab.alice, project=lab.project, kind="sleep", recipe={}) for _ in range(3)
    )
    other = lab.another_project("other").wake()
    there()
    cycle_block(cycle_id=blocked.pk, code="cycle.no_room", message="The disk has no room.")
    with django_assert_max_num_queries(4):
        told = cycle_state(behind)["waiting"]
    assert told["code"] == "cycle.project_blocked"
    assert told["message"].startswith(f"{blocked} of this project comes first, and it is blocked.")
    assert [cycle_state(cycle)["waiting"] for cycle in (first, blocked, other)] == [None, None, None]
    for path in ("/", f"/projects/{lab.project.pk}/", f"/cycles/{behind.pk}/"):
        assert told["message"] in logged_in(lab.alice).get(path).content.decode(), path
    cycle_cancel(actor=lab.alice, cycle=blocked)
    assert cycle_state(behind)["waiting"] is None
