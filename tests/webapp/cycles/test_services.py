"""Starting, cancelling and trying again: what is frozen, and each no with its sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from consolidation.demo import digits
from consolidation.memory.store import Records
from tests.support.jobs import Lab, worker
from webapp.accounts.choices import Role
from webapp.accounts.models import Membership, User, Workspace
from webapp.checkpoints.choices import Origin, Standing
from webapp.checkpoints.models import Checkpoint, Score
from webapp.checkpoints.services import checkpoint_create
from webapp.core.errors import Conflict, Forbidden, InvalidInput, NocturneError, NotFound
from webapp.core.models import AuditEntry
from webapp.cycles import services
from webapp.cycles.choices import State
from webapp.cycles.claim import claim
from webapp.cycles.models import Cycle
from webapp.cycles.selectors import cycle_state, lineage_history, queue_position, retention_matrix
from webapp.cycles.services import cycle_retry, cycle_start
from webapp.cycles.steering import cycle_cancel
from webapp.cycles.transitions import transition
from webapp.memories.models import Use


def checkpoint(lab: Lab, **fields: Any) -> Checkpoint:
    """A checkpoint row of the digits' architecture; its file does not matter here."""
    given: dict[str, Any] = {
        "cycle": None,
        "parent": lab.project.current,
        "origin": Origin.UPLOAD,
        "standing": Standing.PROMOTED,
        "sha256": "a" * 64,
        "size_bytes": 1000,
        "family": digits.FAMILY,
        "config": digits.CONFIG,
        "tensors": [],
        "parameters": 17_610,
        "non_finite": False,
        "wake": {},
    }
    return checkpoint_create(project=lab.project, **(given | fields))


def ready_to_sleep(lab: Lab) -> Checkpoint:
    made = checkpoint(lab)
    lab.put(0, Use.MEMORIES)
    lab.put(0, Use.PROBE)
    return made


def refused(lab: Lab, **asked: Any) -> str:
    with pytest.raises(NocturneError) as error:
        given: dict[str, Any] = {"actor": lab.alice, "project": lab.project, "kind": "sleep", "recipe": {}}
        cycle_start(**(given | asked))
    assert error.value.message.endswith(".")
    assert not Cycle.objects.filter(project=lab.project).exists()
    return error.value.code


def test_a_sleep_freezes_what_it_depends_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = checkpoint(lab)
    base = ready_to_sleep(lab)
    cycle = cycle_start(actor=lab.alice, project=lab.project, kind="sleep", recipe={}, preset="nap")
    assert (cycle.state, cycle.number, cycle.preset) == (State.QUEUED, 1, "nap")
    assert (cycle.base, cycle.reference) == (base, parent)
    assert cycle.recipe["duration"] == 0.05
    assert cycle.recipe["snapshot_every_s"] == 30
    assert [item.use for item in cycle.memories.all()] == [Use.MEMORIES]
    assert [item.use for item in cycle.probes.all()] == [Use.PROBE]
    lab.put(0, Use.MEMORIES)
    assert cycle.memories.get().replaced_at is not None
    assert AuditEntry.objects.get(verb="cycle_start").object_id == cycle.pk


def test_a_rested_checkpoint_is_not_merged_with_its_awake_parent(lab: Lab) -> None:
    ready_to_sleep(lab)
    checkpoint(lab, origin=Origin.SLEEP)
    assert cycle_start(actor=lab.alice, project=lab.project, kind="sleep", recipe={}).reference is None


def test_without_a_checkpoint_memories_or_probes(lab: Lab) -> None:
    assert refused(lab) == "cycle.no_checkpoint"
    checkpoint(lab)
    assert refused(lab) == "cycle.no_memories"
    lab.put(0, Use.MEMORIES)
    assert refused(lab) == "cycle.no_probes"
    assert refused(lab, kind="score") == "cycle.no_probes"


@pytest.mark.parametrize(
    ("recipe", "code"),
    [
        ({"passes": -1}, "cycle.param_range"),
        ({"preset": "coma"}, "cycle.param_range"),
        ({"steps": 5}, "cycle.param_unknown"),
    ],
)
def test_a_recipe_out_of_range(lab: Lab, recipe: dict[str, Any], code: str) -> None:
    ready_to_sleep(lab)
    assert refused(lab, recipe=recipe) == code


def test_a24_weights_that_are_not_finite_are_not_put_to_sleep(lab: Lab) -> None:
    lab.put(0, Use.MEMORIES)
    lab.put(0, Use.PROBE)
    checkpoint(lab, non_finite=True)
    assert refused(lab) == "weights.non_finite"


def test_records_of_another_width_or_with_too_many_labels(lab: Lab) -> None:
    rng = np.random.default_rng(0)

    def records(width: int, classes: int) -> Records:
        x = rng.integers(0, 255, (6, width), dtype=np.uint8)
        return Records(task=digits.TASKS[0], x=x, y=np.arange(6) % classes, classes=classes)

    lab.put(0, Use.PROBE, records(49, 10))
    lab.put(0, Use.MEMORIES, records(49, 10))
    checkpoint(lab)
    assert refused(lab) == "records.width"
    other = lab.another_project()
    other.put(0, Use.PROBE, records(64, 12))
    other.put(0, Use.MEMORIES, records(64, 12))
    checkpoint(other)
    assert refused(other) == "records.label_range"


def test_a_reference_of_another_shape_or_project(lab: Lab) -> None:
    small = checkpoint(lab, config={"layers": [64, 10], "activation": "relu", "names": ["net.0"]})
    ready_to_sleep(lab)
    assert refused(lab, reference=small) == "cycle.reference_shape"
    assert refused(lab, base=checkpoint(lab.another_project())) == "cycle.wrong_project"


def test_a_wake_needs_data_and_something_to_begin_from(lab: Lab) -> None:
    assert refused(lab, kind="wake") == "cycle.no_data"
    data = lab.put(0, Use.TRAINING)
    assert refused(lab, kind="wake", data=data) == "cycle.no_checkpoint"
    bad = {"family": "transformer", "config": {}, "seed": 0}
    assert refused(lab, kind="wake", data=data, init=bad) == "checkpoint.family"
    lab.wake(0)
    # A queue of wakes: the second begins from whatever is current when it starts.
    assert lab.wake(1).base is None


def test_roles(lab: Lab) -> None:
    ready_to_sleep(lab)
    vera = User.objects.create_user("vera@example.org", "correct horse battery")
    Membership.objects.create(workspace=lab.workspace, user=vera, role=Role.VIEWER)
    charlie = User.objects.create_user("charlie@example.org", "correct horse battery")
    Membership.objects.create(
        workspace=Workspace.objects.create(name="Elsewhere", quota_bytes=1), user=charlie, role=Role.OWNER
    )
    cycle = cycle_start(actor=lab.alice, project=lab.project, kind="sleep", recipe={})
    for person, error in ((vera, Forbidden), (charlie, NotFound)):
        with pytest.raises(error):
            cycle_start(actor=person, project=lab.project, kind="sleep", recipe={})
        with pytest.raises(error):
            cycle_cancel(actor=person, cycle=cycle)
        with pytest.raises(error):
            cycle_retry(actor=person, cycle=cycle)


def test_a_waiting_cycle_is_cancelled_at_once(lab: Lab) -> None:
    cycle = cycle_cancel(actor=lab.alice, cycle=lab.wake())
    assert cycle.state == State.CANCELLED
    assert claim(worker=worker()) is None
    with pytest.raises(Conflict) as error:
        cycle_cancel(actor=lab.alice, cycle=cycle)
    assert error.value.code == "cycle.ended"


def test_a_running_cycle_is_flagged_and_asking_twice_is_fine(lab: Lab) -> None:
    lab.wake()
    mine = claim(worker=worker())
    assert mine is not None
    for _ in range(2):
        cycle = cycle_cancel(actor=lab.alice, cycle=mine)
        assert cycle.state == State.CANCELLING
        assert cycle.cancel_requested_by == lab.alice
        assert cycle.cancel_requested_at is not None
    assert AuditEntry.objects.filter(verb="cycle_cancel").count() == 1


def test_publishing_wins_over_a_late_cancel(lab: Lab) -> None:
    lab.wake()
    mine = claim(worker=worker())
    assert mine is not None
    transition(mine.pk, to=State.RUNNING, expect_from=(State.STARTING,), epoch=mine.epoch)
    transition(mine.pk, to=State.PUBLISHING, expect_from=(State.RUNNING,), epoch=mine.epoch)
    with pytest.raises(Conflict) as error:
        cycle_cancel(actor=lab.alice, cycle=mine)
    assert error.value.code == "cycle.publishing"


def test_trying_again_is_a_new_cycle_on_the_same_things(lab: Lab) -> None:
    ready_to_sleep(lab)
    first = cycle_start(actor=lab.alice, project=lab.project, kind="sleep", recipe={"seed": 3})
    with pytest.raises(Conflict) as error:
        cycle_retry(actor=lab.alice, cycle=first)
    assert error.value.code == "cycle.not_retriable"
    first = cycle_cancel(actor=lab.alice, cycle=first)
    lab.put(0, Use.MEMORIES)
    again = cycle_retry(actor=lab.alice, cycle=first)
    assert (again.retry_of, again.number, again.state) == (first, 2, State.QUEUED)
    assert (again.recipe, again.base) == (first.recipe, first.base)
    assert set(again.memories.all()) == set(first.memories.all())


def test_the_queue_has_an_end(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "QUEUE_LIMIT", 2)
    first, second = lab.wake(0), lab.wake(1)
    assert (queue_position(first), queue_position(second)) == (1, 2)
    with pytest.raises(Conflict) as error:
        lab.wake(2)
    assert error.value.code == "cycle.queue_full"


def test_the_state_of_a_cycle_in_few_queries(lab: Lab, django_assert_max_num_queries: Any) -> None:
    cycle = lab.wake()
    with django_assert_max_num_queries(4):
        state = cycle_state(cycle)
    assert state["title"] == "Wake 1"
    assert (state["state"], state["queue_position"], state["seq"]) == ("queued", 1, 1)
    assert (state["tasks"], state["newest_task"]) == ([digits.TASKS[0]], digits.TASKS[0])
    assert (state["error"], state["base"], state["result"], state["worker"]) == (None, None, None, None)


def test_the_matrix_and_the_history_that_the_engine_gets(lab: Lab) -> None:
    one, two = lab.task(0), lab.task(1)
    first = checkpoint(lab)
    second = checkpoint(lab, origin=Origin.SLEEP)
    candidate = checkpoint(lab, origin=Origin.SLEEP, standing=Standing.CANDIDATE, parent=first)
    unscored = checkpoint(lab, parent=second)
    for made, task, value in (
        (first, one, 0.9),
        (second, one, 0.8),
        (second, two, 0.7),
        (candidate, one, 0.1),
    ):
        Score.objects.create(checkpoint=made, task=task, value=value, examples=10)
    matrix = retention_matrix(lab.project)
    assert matrix["tasks"] == [one.name, two.name]
    assert [(row["label"], row["kind"], row["standing"]) for row in matrix["rows"]] == [
        ("v1", "upload", "promoted"),
        ("v2", "sleep", "promoted"),
        ("v3", "sleep", "candidate"),
    ]
    assert matrix["rows"][1]["scores"] == {one.name: 0.8, two.name: 0.7}
    # Only the line that leads to the checkpoint, in the engine's words.
    assert lineage_history(unscored) == [
        {"label": "v1", "kind": "score", "scores": {one.name: 0.9}},
        {"label": "v2", "kind": "sleep", "scores": {one.name: 0.8, two.name: 0.7}},
    ]


def test_a_bad_kind_is_a_sentence(lab: Lab) -> None:
    with pytest.raises(InvalidInput) as error:
        cycle_start(actor=lab.alice, project=lab.project, kind="dream", recipe={})
    assert error.value.code == "cycle.kind"
