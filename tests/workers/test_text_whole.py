"""A text model in a real trainer: the library that builds it loads behind the trainer's walls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.consolidation.text_helpers import BERT, text_records
from tests.workers.conftest import Run, trainer_log
from webapp.checkpoints.models import Checkpoint
from webapp.cycles.choices import State
from webapp.cycles.services import cycle_start
from webapp.memories.models import RecordSet, Use

if TYPE_CHECKING:
    from tests.support.jobs import Lab


def test_a_bert_is_built_and_wakes(lab: Lab, run_next: Run) -> None:
    data = lab.put(0, Use.TRAINING, text_records(0, 60, 1))
    lab.put(0, Use.PROBE, text_records(0, 30, 2))
    cycle_start(
        actor=lab.alice, project=lab.project, kind="wake", data=data,
        recipe={"batch": 16, "lr": 0.01, "optimizer": "adamw", "memories": 20},
        init={"family": "encoder", "config": BERT, "seed": 1},
    )  # fmt: skip
    woke = run_next()
    assert woke.state == State.SUCCEEDED, trainer_log(woke)
    made = Checkpoint.objects.get(cycle=woke)
    assert made.family == "encoder"
    assert made.config["head"] == "sequence-classification"
    assert RecordSet.objects.get(use=Use.MEMORIES).has_logits
