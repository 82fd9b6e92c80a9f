"""A language model learns two ways to go on in turn and sleeps; stopped and resumed it is the same night."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from consolidation.answers import perplexity, scores, unpack
from consolidation.cycle import sleep
from consolidation.errors import NocturneInputError, Stopped
from consolidation.memory.store import Records
from consolidation.phases.significance import estimate_fisher
from consolidation.recipe import WakeRecipe, preset
from consolidation.scoring import score
from consolidation.waking import wake
from consolidation.weights import load_model, save_model
from tests.consolidation.helpers import bits, hooks
from tests.consolidation.lm_helpers import GPT2, LLAMA, chain_records, tiny_lm
from tests.consolidation.text_helpers import text_records

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from consolidation.recipe import SleepRecipe
    from consolidation.report import Report

PROBES = [chain_records(0, 40, 9), chain_records(1, 40, 9, width=10)]


def recipe(**changes: Any) -> SleepRecipe:
    settings: dict[str, Any] = {
        "passes": 3.0, "lr": 3e-3, "optimizer": "adamw", "batch": 8, "fisher_samples": 16, "min_gain": 0.0,
        "snapshot_every_s": 0, "dream": 0.2, "temperature": 1.0,
    }  # fmt: skip
    return preset("night", **(settings | changes))


@pytest.mark.parametrize("config", [LLAMA, GPT2 | {"n_embd": 16}], ids=["llama", "gpt2"])
def test_a_language_model_gets_back_in_its_sleep_what_it_forgot(
    config: dict[str, Any], tmp_path: Path
) -> None:
    model = tiny_lm(config)
    lesson = WakeRecipe(epochs=12, batch=16, optimizer="adamw", lr=0.01, memories=40, snapshot_every_s=0)
    first = wake(model, chain_records(0, 100, 1), PROBES, lesson)
    assert first.memories is not None
    save_model(model, tmp_path / "before")
    second = wake(model, chain_records(1, 100, 1, width=10), PROBES, lesson, history=first.matrix)
    assert second.memories is not None
    forgot = first.after["chain 0"] - second.after["chain 0"]
    assert forgot > 0.1
    memories = [each.save(tmp_path / each.task) for each in (first.memories, second.memories)]
    report = sleep(
        model, memories, PROBES, recipe(passes=12.0, newest_drop=0.2), history=second.matrix,
        reference=load_model(tmp_path / "before"),
    )  # fmt: skip
    assert report.verdict == "improved"
    assert report.after["chain 0"] > second.after["chain 0"] + 0.4 * forgot
    assert hooks(model) == 0
    kept = unpack(report.correct["after"], report.counts)
    assert scores(kept) == pytest.approx(report.after)
    assert report.perplexity["after"]["chain 0"] == pytest.approx(perplexity(kept["chain 0"]))
    assert report.perplexity["after"]["chain 0"] < report.perplexity["before"]["chain 0"]


def test_memories_keep_the_likeliest_words_and_are_the_same_when_read_again(tmp_path: Path) -> None:
    model = tiny_lm(LLAMA)
    lesson = WakeRecipe(epochs=1, batch=8, lr=0.01, memories=9, selection="herding", codec="deflate")
    kept = wake(model, chain_records(0, 30, 1, prompt=2), [], lesson).memories
    assert kept is not None
    assert kept.top is not None
    assert kept.z is not None
    assert kept.top.shape == kept.z.shape == (9, 12, 23)  # 32 are kept, and there are 23 words
    again = kept.save(tmp_path / "kept")
    assert (again.objective, again.head) == ("language", None)
    assert again.top is not None
    assert np.array_equal(again.top, kept.top)
    assert again.bytes == kept.bytes
    assert again.take(np.arange(3)).with_top(again.top[:3], again.z[:3]).z is not None  # type: ignore[index]


def test_stopped_and_resumed_a_night_on_language_is_the_unbroken_one(tmp_path: Path) -> None:
    model = tiny_lm(GPT2)
    awake = chain_records(1, 30, 4, width=10)
    memories = []
    for task in range(2):
        learnt = wake(tiny_lm(GPT2), chain_records(task, 20, 1), [], WakeRecipe(epochs=1, memories=12))
        assert learnt.memories is not None
        memories.append(learnt.memories)

    def night(folder: Path | None, stop: Callable[[], str | None] | None) -> tuple[dict[str, bytes], Report]:
        model = tiny_lm(GPT2)
        plan = recipe(reconstruct="linear-decoder", micro_batch=5, passes=2.0, fresh=16)
        report = sleep(model, memories, PROBES, plan, awake=awake, workdir=folder, stop=stop)
        return bits(model), report

    calls = iter(range(4))
    whole, report = night(None, None)
    with pytest.raises(Stopped):
        night(tmp_path, lambda: None if next(calls, None) is not None else "stop")
    again, same = night(tmp_path, None)
    assert again == whole
    assert same.correct == report.correct
    assert bits(model) != whole


def test_the_fisher_of_a_language_model_equals_a_loop_over_its_records() -> None:
    model = tiny_lm(LLAMA | {"tie_word_embeddings": True})
    records = chain_records(0, 6, 2)
    where = torch.device("cpu")
    found = estimate_fisher(
        model, records, samples=6, labels="true", generator=torch.Generator(), device=where
    )
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for row in range(6):
        x = torch.from_numpy(records.inputs(np.array([row])))
        length = int((x != 0).sum())
        logs = model(x)[0].log_softmax(-1)
        ids = x[0, :length].long() - 1
        value = -logs[torch.arange(length - 1), ids[1:]].sum()
        for (name, _), g in zip(
            model.named_parameters(), torch.autograd.grad(value, list(model.parameters())), strict=True
        ):
            total[name] += g.square()
    for name, expected in total.items():
        assert torch.allclose(found.tensors[name], expected / 6, rtol=1e-4, atol=1e-9), name


@pytest.mark.parametrize(
    ("records", "code"),
    [
        (lambda: text_records(0, 6, 1, width=10), "records.objective"),
        (lambda: chain_records(0, 6, 1, width=30), "records.width"),
        (lambda: changed(chain_records(0, 6, 1), x=99), "records.token"),
        (lambda: changed(chain_records(0, 6, 1), gap=True), "records.token"),
        (lambda: chain_records(0, 6, 1, prompt=12), "records.label_range"),
    ],
    ids=["other objective", "too long", "unknown word", "gap", "all context"],
)
def test_records_that_a_language_model_cannot_learn_from_are_refused(
    records: Callable[[], Records], code: str
) -> None:
    with pytest.raises(NocturneInputError) as caught:
        score(tiny_lm(LLAMA), [records()])
    assert caught.value.code == code


def changed(records: Records, x: int | None = None, gap: bool = False) -> Records:
    rows = records.x.copy()
    rows[0, 3] = 0 if gap else x
    return Records(task="chain", x=rows, y=records.y, classes=2**16, objective="language")


def test_significance_over_all_words_is_refused_before_the_night_begins() -> None:
    heard: list[Any] = []
    with pytest.raises(NocturneInputError, match="Choose sampled or true") as caught:
        sleep(
            tiny_lm(GPT2), [chain_records(0, 20, 1)], PROBES, recipe(fisher_labels="exact"),
            on_event=heard.append,
        )  # fmt: skip
    assert (caught.value.code, caught.value.detail["field"]) == ("fisher.exact_labels", "fisher_labels")
    assert heard == []
