"""Two tasks with a head each, the whole way: what is said at the upload decides what a score measures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save

from tests.webapp.uploads.conftest import received
from tests.workers.conftest import Run, trainer_log
from webapp.checkpoints.models import Checkpoint, Score
from webapp.cycles.choices import State
from webapp.cycles.services import cycle_start
from webapp.memories.models import RecordSet
from webapp.uploads.declared import clean_form
from webapp.uploads.services import upload_verify

if TYPE_CHECKING:
    from tests.support.jobs import Lab


def put(lab: Lab, data: bytes, purpose: str, **form: Any) -> None:
    told = clean_form(project=lab.project, purpose=purpose, form=form)
    upload = received(lab.project, lab.alice, data, purpose=purpose, **told)
    upload_verify(upload.pk)
    upload.refresh_from_db()
    assert (upload.state, upload.error_message) == ("ready", "")
    lab.project.refresh_from_db()


def test_each_task_is_scored_by_its_own_columns(lab: Lab, run_next: Run) -> None:
    """The first two outputs are always the highest; the last two tell which of x is larger."""
    weights = {
        "net.0.weight": np.eye(2, dtype=np.float32),
        "net.0.bias": np.zeros(2, np.float32),
        "net.2.weight": np.concatenate([np.zeros((2, 2)), np.eye(2)]).astype(np.float32),
        "net.2.bias": np.array([100, 90, 0, 0], np.float32),
    }
    put(lab, save(weights), "checkpoint", family="mlp", config={"activation": "relu"})
    pairs = np.random.default_rng(1).random((40, 2))
    rows = "a,b,y\n" + "".join(f"{a:.4f},{b:.4f},{int(b > a)}\n" for a, b in pairs)
    put(lab, rows.encode(), "probe", task=str(lab.task(0).pk), head={"first": 0, "last": 1})
    put(lab, rows.encode(), "probe", task=str(lab.task(1).pk), head={"first": 2, "last": 3})
    assert [item.head for item in RecordSet.objects.order_by("created_at")] == [[0, 2], [2, 4]]
    base = Checkpoint.objects.get()
    cycle_start(actor=lab.alice, project=lab.project, kind="score", recipe={}, base=base)
    scored = run_next()
    assert scored.state == State.SUCCEEDED, trainer_log(scored)
    values = {score.task_id: score.value for score in Score.objects.filter(checkpoint=base)}
    assert values[lab.task(1).pk] == 1, "only its own columns count"
    assert 0.2 < values[lab.task(0).pk] < 0.8, "always says the first label"
