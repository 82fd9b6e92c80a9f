"""Two real nights from one checkpoint, compared: the pairs are those that the two models themselves give."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import torch
from django.test import Client

from consolidation.guard import paired_gains
from consolidation.memory.store import Records
from consolidation.probes import Probes
from consolidation.weights import load_model
from tests.workers.conftest import Run, trainer_log
from webapp.checkpoints.models import Checkpoint
from webapp.core.store import store_path
from webapp.cycles.compare_answers import CONFIDENCE, SEED, against, answers_of, probes_of
from webapp.cycles.models import Cycle
from webapp.cycles.services import cycle_start
from webapp.memories.models import RecordSet, Use

if TYPE_CHECKING:
    from tests.support.jobs import Lab


def test_two_nights_answer_by_answer(lab: Lab, run_next: Run) -> None:
    lab.wake(0, epochs=2)
    assert run_next().state == "succeeded"
    base = Checkpoint.objects.get()
    pks = []
    for recipe in ({"passes": 2, "seed": 1}, {"passes": 6, "seed": 2}):
        cycle_start(actor=lab.alice, project=lab.project, kind="sleep", recipe=recipe, base=base)
        night = run_next()
        assert night.state in {"succeeded", "rejected"}, trainer_log(night)
        pks.append(night.pk)
    cycles = list(Cycle.objects.filter(pk__in=pks).select_related("result").order_by("number"))
    task = lab.task(0).name

    probe = Records.open(
        store_path(lab.workspace.pk, RecordSet.objects.get(use=Use.PROBE, replaced_at=None).sha256)
    )
    models = [load_model(store_path(lab.workspace.pk, cycle.result.sha256)) for cycle in cycles]
    one, two = (Probes([probe], torch.device("cpu")).proof(model) for model in models)
    _, gains = paired_gains(one, two, confidence=CONFIDENCE, seed=SEED)

    found = against(0, 1, cycles=cycles, tasks=[task], answers=answers_of(cycles), probes=probes_of(cycles))
    assert found.mean is not None
    ends = (found.mean.interval.value, found.mean.interval.low, found.mean.interval.high)
    assert ends == pytest.approx(tuple(gains[task]))
    assert found.mean.answers == len(one[task])

    client = Client()
    client.force_login(lab.alice, backend="allauth.account.auth_backends.AuthenticationBackend")
    query = "&".join(f"cycle={cycle.pk}" for cycle in cycles)
    text = client.get(f"/projects/{lab.project.pk}/compare/?{query}").content.decode()
    assert found.mean.interval.words in text
    told = cycles[0].report["gain"]["tasks"][task]
    assert re.sub("-", "−", f"{told['low']:+.3f} to {told['high']:+.3f}") in text
    section = text.partition('id="recipe-title"')[2].partition("</section>")[0]
    assert re.findall(r"<code>(.*?)</code>", section.replace("<wbr>", "")) == ["passes", "seed"]
