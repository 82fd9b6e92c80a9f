"""A BERT learns two tasks of texts in turn and sleeps; stopped and resumed it is the same night."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from consolidation.cycle import sleep
from consolidation.dry_run import dry_run
from consolidation.errors import Stopped
from consolidation.estimate import decoder_numbers, estimate, hidden_numbers
from consolidation.families.adapter import adapter_of
from consolidation.memory.remembering import answers
from consolidation.phases.reconstructing import LinearDecoders
from consolidation.recipe import WakeRecipe, preset
from consolidation.wake_estimate import last_numbers, widest_numbers
from consolidation.waking import wake
from consolidation.weights import load_fisher, load_model, save_fisher, save_model
from tests.consolidation.helpers import Recorder, bits, hooks
from tests.consolidation.text_helpers import BERT, text_records, tiny_bert

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from consolidation.recipe import SleepRecipe
    from consolidation.report import Report

PROBES = [text_records(0, 60, 9, width=10), text_records(1, 60, 9)]


def recipe(**changes: Any) -> SleepRecipe:
    settings: dict[str, Any] = {
        "passes": 3.0, "lr": 3e-3, "optimizer": "adamw", "batch": 8, "fisher_samples": 24, "min_gain": 0.0,
        "snapshot_every_s": 0, "dream": 0.2,
    }  # fmt: skip
    return preset("night", **(settings | changes))


def test_a_bert_that_has_learnt_two_tasks_in_turn_gets_the_first_back_in_its_sleep(tmp_path: Path) -> None:
    model = tiny_bert()
    lesson = WakeRecipe(epochs=12, batch=16, optimizer="adamw", lr=0.01, memories=40, snapshot_every_s=0)
    first = wake(model, text_records(0, 120, 1, width=10), PROBES, lesson)
    assert first.memories is not None
    assert first.after["words 0"] > 0.8
    save_model(model, tmp_path / "before")
    second = wake(model, text_records(1, 120, 1), PROBES, lesson, history=first.matrix)
    assert second.memories is not None
    forgot = first.after["words 0"] - second.after["words 0"]
    assert forgot > 0.2
    heard = Recorder()
    report = sleep(
        model, [first.memories, second.memories], PROBES, recipe(passes=12.0), history=second.matrix,
        reference=load_model(tmp_path / "before"), on_event=heard,
    )  # fmt: skip
    assert report.verdict == "improved"
    assert report.after["words 0"] > second.after["words 0"] + 0.5 * forgot
    assert report.after["words 1"] > second.after["words 1"] - 0.1
    assert {one["stage"] for one in heard.of("stage_ended")} >= {"merging", "significance", "downscaling"}
    assert hooks(model) == 0
    assert report.fisher is not None
    save_fisher(report.fisher, tmp_path / "fisher")
    assert set(load_fisher(tmp_path / "fisher").tensors) == {name for name, _ in model.named_parameters()}


def test_stopped_and_resumed_a_night_on_texts_is_the_unbroken_one(tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "reconstruct": "linear-decoder", "micro_batch": 5, "rounds": 2, "passes": 1.5, "dream": 0.3,
    }  # fmt: skip

    def night(folder: Path | None, stop: Callable[[], str | None] | None) -> tuple[dict[str, bytes], Report]:
        model = tiny_bert()
        memories = [text_records(0, 20, 1, width=9, logits=True), text_records(1, 20, 1, logits=True)]
        report = sleep(model, memories, PROBES, recipe(**changes), workdir=folder, stop=stop)
        return bits(model), report

    calls = iter(range(4))  # in the middle of the first replay
    whole, report = night(None, None)
    with pytest.raises(Stopped):
        night(tmp_path, lambda: None if next(calls, None) is not None else "stop")
    again, same = night(tmp_path, None)
    assert again == whole
    assert same.correct == report.correct


def test_the_arithmetic_of_a_bert_is_what_a_real_pass_gives() -> None:
    model = tiny_bert()
    full = text_records(0, 20, 1)
    full.x[:, :] = full.x.max(1, keepdims=True)  # no text is filled up
    ran = dry_run(model, [full], recipe(batch=4))
    assert ran.hidden == hidden_numbers("encoder", model.nocturne_config, 12)  # type: ignore[arg-type]
    clean: dict[str, Any] = model.nocturne_config  # type: ignore[assignment]
    decoders = LinearDecoders(model, adapter_of(model).blocks(model), 16, torch.device("cpu"))
    assert decoder_numbers("encoder", clean) == sum(w.numel() for w in decoders.weights.values())
    assert widest_numbers("encoder", clean, 12) == 12 * 12
    assert last_numbers("encoder", clean) == 8


@pytest.mark.parametrize("selection", ["herding", "max-loss"])
def test_memories_of_texts_are_chosen_by_what_the_model_makes_of_them(selection: str) -> None:
    model = tiny_bert()
    data = text_records(0, 30, 1)
    lesson = WakeRecipe(epochs=1, batch=8, lr=0.01, memories=9, selection=selection, codec="deflate")
    kept = wake(model, data, [], lesson).memories
    assert kept is not None
    assert len(kept) == 9
    assert kept.z is not None
    told = answers(model, kept, np.arange(9), torch.device("cpu"), hidden=True)
    assert told.features is not None
    assert told.features.shape == (9, 8)
    assert abs(told.z - kept.z).max() < 0.01


def test_steps_and_bytes_of_a_night_on_texts_are_foretold(tmp_path: Path) -> None:
    wide = {"hidden_size": 64, "intermediate_size": 96}
    model = tiny_bert(**wide)
    memories = [text_records(i, 20, 1, logits=True) for i in range(2)]
    work, fullest = tmp_path / "work", 0

    def measure(_event: object) -> None:
        nonlocal fullest
        fullest = max(fullest, sum(path.stat().st_size for path in work.iterdir()))

    plan = recipe(dream=0.0, snapshot_every_steps=3)
    report = sleep(model, memories, PROBES, plan, workdir=work, on_event=measure)
    found = estimate(plan, family="encoder", config=BERT | wide, memories=[20, 20], width=12)
    assert found.steps == pytest.approx(report.steps, rel=0.25)
    assert found.work_bytes == pytest.approx(fullest, rel=0.25)
    assert report.fisher is not None
    save_model(model, tmp_path / "model.safetensors")
    save_fisher(report.fisher, tmp_path / "fisher.safetensors")
    written = sum(path.stat().st_size for path in tmp_path.glob("*.safetensors"))
    assert found.output_bytes == pytest.approx(written, rel=0.25)
