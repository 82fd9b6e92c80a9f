"""Answers stored beside memories by a real trainer; not when the memories were replaced meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consolidation.memory.store import Records
from tests.workers.conftest import Run, trainer_log
from webapp.core.store import store_path
from webapp.cycles.choices import State
from webapp.cycles.services import cycle_start
from webapp.memories.models import RecordSet, Use

if TYPE_CHECKING:
    from tests.support.jobs import Lab


def test_memories_get_the_answers_of_a_checkpoint(lab: Lab, run_next: Run) -> None:
    lab.wake(0, epochs=1)
    assert run_next().state == State.SUCCEEDED
    lab.project.refresh_from_db()
    given = lab.put(0, Use.MEMORIES)
    assert not given.has_logits
    queued = [
        cycle_start(actor=lab.alice, project=lab.project, kind="score", recipe={}, data=given)
        for _ in range(2)
    ]
    first = run_next()
    assert (first.pk, first.state) == (queued[0].pk, State.SUCCEEDED), trainer_log(first)
    live = RecordSet.objects.get(task=given.task, use=Use.MEMORIES, replaced_at=None)
    assert (live.has_logits, live.rows, live.cycle_id) == (True, given.rows, first.pk)
    kept = Records.open(store_path(lab.workspace.pk, live.sha256))
    assert kept.z is not None
    assert kept.z.shape == (given.rows, 10)
    second = run_next()
    assert second.state == State.SUCCEEDED
    assert "were replaced meanwhile" in second.reasons[0]
    assert RecordSet.objects.get(task=given.task, use=Use.MEMORIES, replaced_at=None) == live
