"""What a cycle is said to need before it is queued, and what its row remembers of that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from consolidation.demo import digits
from tests.webapp.cycles.test_services import checkpoint, ready_to_sleep
from webapp.cycles.choices import State
from webapp.cycles.models import Cycle
from webapp.cycles.needs import Needs, cycle_needs
from webapp.cycles.services import cycle_retry, cycle_start
from webapp.cycles.steering import cycle_cancel
from webapp.memories.models import RecordSet, Use

if TYPE_CHECKING:
    from tests.support.jobs import Lab

WIDE = {"layers": [64, 2000, 2000, 10], "activation": "relu", "names": ["net.0", "net.2", "net.4"]}
TIMM = {"architecture": "timm/vit_tiny_patch16_224", "input": [3, 224, 224], "layout": "chw", "classes": 10}


def test_a_cycle_remembers_what_it_needs_and_learns_from(lab: Lab) -> None:
    base = ready_to_sleep(lab)
    cycle = cycle_start(actor=lab.alice, project=lab.project, kind="sleep", recipe={}, device="cpu")
    weights = 4 * base.parameters
    assert cycle.device == "cpu"
    assert cycle.memory_bytes > 200e6
    assert cycle.disk_bytes > 4 * weights
    assert 2 * weights <= cycle.store_bytes < 2 * weights + 100_000
    assert cycle.used_sets == [str(cycle.memories.get().pk)]
    again = cycle_retry(actor=lab.alice, cycle=cycle_cancel(actor=lab.alice, cycle=cycle))
    for name in ("device", "memory_bytes", "disk_bytes", "store_bytes", "used_sets"):
        assert getattr(again, name) == getattr(cycle, name)


def test_a_wake_needs_its_memories_stored_and_its_set(lab: Lab) -> None:
    few, many = lab.wake(0, memories=0), lab.wake(1, memories=100)
    # The second has no model yet: it is measured on the one that the first builds.
    assert few.base is None
    assert many.init is None
    assert many.memory_bytes > 200e6
    assert many.store_bytes - few.store_bytes > 100 * 64
    assert few.used_sets == [str(few.data_id)]


def test_a_score_publishes_nothing(lab: Lab) -> None:
    base = ready_to_sleep(lab)
    cycle = cycle_start(actor=lab.alice, project=lab.project, kind="score", recipe={}, base=base)
    assert cycle.store_bytes == 0
    assert cycle.memory_bytes > 0
    assert cycle.disk_bytes > 0
    assert cycle.used_sets == []


def test_a_larger_model_needs_more(lab: Lab) -> None:
    small = checkpoint(lab)
    large = checkpoint(lab, config=WIDE, parameters=4_150_000)
    found = [
        cycle_needs(project=lab.project, kind="sleep", recipe={"preset": "night"}, base=base)
        for base in (small, large)
    ]
    assert found[1].memory_bytes > found[0].memory_bytes + 4 * 4_000_000
    assert found[1].disk_bytes > found[0].disk_bytes + 4 * 4 * 4_000_000
    assert found[1].store_bytes > found[0].store_bytes + 2 * 4 * 4_000_000


def test_of_a_model_that_only_a_library_knows_the_memory_is_not_known(lab: Lab) -> None:
    data = lab.put(0, Use.TRAINING)
    base = checkpoint(lab, family="vision", config=TIMM, parameters=5_500_000)
    recipe: dict[str, dict[str, Any]] = {"sleep": {"preset": "night"}, "wake": {}, "score": {}}
    for kind in recipe:
        needs = cycle_needs(project=lab.project, kind=kind, recipe=recipe[kind], base=base, data=data)
        assert needs.memory_bytes == 0
        assert needs.disk_bytes > 4 * base.parameters


def test_without_any_model_nothing_is_known(lab: Lab) -> None:
    assert cycle_needs(project=lab.project, kind="wake", recipe={}, base=None) == Needs()


def test_a_night_that_looks_back_on_the_day_depends_on_it(lab: Lab) -> None:
    woken = lab.wake(0)
    Cycle.objects.filter(pk=woken.pk).update(state=State.CANCELLED)
    base = checkpoint(lab, cycle=woken)
    lab.put(0, Use.MEMORIES)
    cycle = lab.sleep(fresh=500)
    assert cycle.base == base
    assert set(cycle.used_sets) == {str(cycle.memories.get().pk), str(woken.data_id)}
    assert len(lab.sleep(fresh=0).used_sets) == 1
    RecordSet.objects.filter(use=Use.TRAINING).update(trashed_at=timezone.now())
    assert len(lab.sleep(fresh=500).used_sets) == 1, "what is in the trash is not used"


def test_the_demo_is_small(lab: Lab) -> None:
    """What everybody runs first must not be refused by a small quota."""
    assert lab.wake(0).store_bytes < 400_000
    assert digits.FAMILY == "mlp"


@pytest.mark.parametrize("kind", ["sleep", "wake"])
def test_counting_takes_no_query_a_record_set(lab: Lab, kind: str, django_assert_num_queries: Any) -> None:
    sets = [lab.put(index, Use.MEMORIES) for index in range(3)]
    base = checkpoint(lab)
    with django_assert_num_queries(0):
        cycle_needs(
            project=lab.project, kind=kind, recipe={}, base=base, data=sets[0], memories=sets
        )  # fmt: skip
