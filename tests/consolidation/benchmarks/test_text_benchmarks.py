"""glue5, lm5 and qa5 on texts of a few words: protocol, heads, counting, sentences for missing data."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from consolidation.baselines.buffer import ReplayBuffer
from consolidation.baselines.method import Learner, heads, make_method
from consolidation.benchmarks import lm5, qa5, small_gpt2, table
from consolidation.benchmarks.benchmark import Benchmark, Options, open_benchmark
from consolidation.benchmarks.cli import main
from consolidation.benchmarks.minilm import MiniLm, minilm_in
from consolidation.benchmarks.run import RowSpec, _setting
from consolidation.benchmarks.smollm2 import Below, LastLayers
from consolidation.errors import NocturneInputError
from consolidation.objectives.extractive_qa import SHIFT
from consolidation.objectives.language import Language
from tests.consolidation.benchmarks.text_worlds import BERT, make_folder, write
from tests.consolidation.lm_helpers import LLAMA, tiny_lm, token_records

METHODS = "finetune,er,derpp,derpp-thin,sleep"
GPT2 = small_gpt2.CONFIG | {"vocab_size": 300, "n_embd": 16, "n_layer": 1, "n_head": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("texts"))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPT-2 that is trained in a second."""
    monkeypatch.setattr(small_gpt2, "CONFIG", GPT2)
    small_gpt2._tokenizer.cache_clear()
    small_gpt2._trained.cache_clear()


def run(name: str, folder: Path, out: Path, *more: str) -> dict[str, dict[str, Any]]:
    """{method: row} of one seed, two tasks."""
    line = [name, "--data", str(folder), "--tasks", "2", "--epochs", "1", "--methods", METHODS, "--json",
            str(out / "rows.json"), "--markdown", str(out / "table.md"), *more]  # fmt: skip
    assert main(line) == 0
    return {row["method"]: row for row in json.loads((out / "rows.json").read_text())}


def opened(name: str, folder: Path, **changes: Any) -> tuple[Benchmark, Learner]:
    benchmark = open_benchmark(name, Options(data=folder, tasks=2, epochs=1, **changes), 0)
    method = make_method(
        "derpp", _setting(benchmark, RowSpec(benchmark=name, method="derpp", seed=0, buffer=8))
    )
    assert isinstance(method, Learner)
    return benchmark, method


# ---------------------------------------------------------------- what a run gives


def test_glue5_tells_the_task_and_counts_tokens_heads_and_passes(folder: Path, tmp_path: Path) -> None:
    rows = run("glue5", folder, tmp_path, "--buffer", "12", "--codec", "raw")
    assert all(row["settings"]["protocol"]["scenario"] == "task-incremental" for row in rows.values())
    assert rows["finetune"]["compute_ratio"] == 1.0 and 1.0 < rows["sleep"]["compute_ratio"] < 3.0
    assert rows["er"]["compute_ratio"] < rows["derpp"]["compute_ratio"]
    # 12 records of 64 tokens at 2 bytes, a label of one byte, 4 logits of 2
    assert rows["er"]["bytes"] == 12 * (128 + 1) and rows["derpp"]["bytes"] == 12 * (128 + 1 + 8)
    assert "forgetting less %" in (tmp_path / "table.md").read_text()


def test_lm5_tells_perplexities_and_how_far_they_rose(small: None, folder: Path, tmp_path: Path) -> None:
    rows = run("lm5", folder, tmp_path, "--buffer", "8", "--examples", "16")
    row = rows["finetune"]
    logs = [[None if score is None else math.log(score) for score in scores] for scores in row["matrix"]]
    assert row["log_perplexity"] == pytest.approx(-50 * (logs[1][0] + logs[1][1]), abs=1e-2)  # type: ignore[operator]
    assert row["perplexity"] == pytest.approx(math.exp(row["log_perplexity"] / 100), rel=1e-4)
    assert row["rise"] == pytest.approx(100 * (logs[0][0] - logs[1][0]), abs=1e-2)  # type: ignore[operator]
    page = (tmp_path / "table.md").read_text()
    assert "| method | perplexity | rise of its log, % | forgetting less % |" in page
    # 8 blocks of ids, labels, and 32 likeliest words with their chances at each place, 4 bytes each
    assert rows["derpp"]["bytes"] == 8 * (4 * 128 + 4 + 2 * 4 * 128 * 32)


def test_qa5_scores_by_overlap(folder: Path, tmp_path: Path) -> None:
    rows = run("qa5", folder, tmp_path, "--buffer", "8")
    assert all(0 <= row["matrix"][1][0] <= 1 for row in rows.values())
    assert "F1 %" in (tmp_path / "table.md").read_text()


def test_the_last_layers_of_bert_tell_what_the_whole_does_and_are_all_that_learns(folder: Path) -> None:
    benchmark, method = opened("glue5", folder, layers=1)
    _, whole = opened("glue5", folder, layers=2)
    x, _ = benchmark.test(1)
    assert torch.allclose(method.logits(x, 1), whole.logits(x, 1), atol=1e-6)
    assert method.parameter_count() < whole.parameter_count()
    assert not any("embeddings" in name for name in method.moved)
    before = copy.deepcopy(method.model.state_dict())
    method.learn(0, benchmark.train(0))
    after = method.model.state_dict()
    assert all(not torch.equal(after[n], before[n]) for n in before if n.startswith("bert.encoder"))


# ---------------------------------------------------------------- heads and stored answers


def test_a_task_moves_its_own_head_alone(folder: Path) -> None:
    benchmark, method = opened("glue5", folder)
    data = benchmark.train(1)
    x, y = method.setting.inputs(data.raw()), data.y
    assert set(y.tolist()) == {2, 3}
    loss = method.label_loss(method.model(x), x, y, heads(data, len(y)))
    [moved] = torch.autograd.grad(loss, [method.model.get_parameter("classifier.bias")])
    assert bool((moved[:2] == 0).all()) and bool((moved[2:] != 0).all())
    columns = method.model(x)[:, 2:]
    manual = torch.nn.functional.cross_entropy(columns, y - 2)
    assert float(loss.detach()) == pytest.approx(float(manual.detach()), rel=1e-5)


@pytest.mark.parametrize("name", ["lm5", "qa5", "glue5"])
def test_what_is_stored_of_a_model_is_no_distance_from_it(small: None, name: str, folder: Path) -> None:
    benchmark, method = opened(name, folder)
    buffer = method.buffer  # type: ignore[attr-defined]
    assert isinstance(buffer, ReplayBuffer)
    data = benchmark.train(0)
    rows = torch.arange(8)
    with torch.no_grad():
        buffer.offer(data, rows, method.model(method.setting.inputs(data.raw(rows))))
        old = buffer.draw(8)
        same = float(method.apart(method.model(old.x), old))  # type: ignore[attr-defined]
        for weight in method.parameters:
            weight.add_(0.3 * torch.randn_like(weight))
        other = float(method.apart(method.model(old.x), old))  # type: ignore[attr-defined]
    assert same == pytest.approx(0, abs=1e-3) and other > 10 * max(same, 1e-4)


def test_a_second_text_has_ids_of_its_own(folder: Path) -> None:
    minilm = MiniLm(folder)
    words, alone = BERT["vocab_size"], minilm.encode("the room", None, 64)
    assert minilm.encode("the room", "the room", 64) == [*alone, *(token + words for token in alone[1:])]


def test_an_answer_is_told_by_the_places_of_its_tokens(folder: Path) -> None:
    minilm = MiniLm(folder)
    row = {"question": "the room", "context": "staff said kind and bright", "answers": {
        "text": ["kind and"], "answer_start": [11]}}  # fmt: skip
    # [CLS] the room [SEP] staff said kind and
    assert qa5.placed(minilm, row) is not None and qa5.placed(minilm, row)[1] == 6 * SHIFT + 7  # type: ignore[index]
    far = row | {"context": "staff " * 130 + "kind", "answers": {"text": ["kind"], "answer_start": [6 * 130]}}
    assert qa5.placed(minilm, far) is None


# ---------------------------------------------------------------- the last layers of a large model


def test_the_last_layers_over_what_is_kept_are_the_whole_model() -> None:
    whole = tiny_lm(LLAMA | {"num_hidden_layers": 3, "tie_word_embeddings": True})
    x = token_records(4, 10)
    with torch.no_grad():
        expected = whole(x)
    below = Below(whole, 1)
    model = LastLayers(below, 2)
    for _ in range(2):  # the second time from what is kept
        assert torch.allclose(model(x)[:, :10], expected, atol=1e-6)
    assert copy.deepcopy(model).below is below
    loss = Language()
    targets = loss.targets(x, torch.zeros(len(x)))
    moved = torch.autograd.grad(loss.loss(model(x), targets).mean(), list(model.parameters()))
    assert all(bool(gradient.abs().sum() > 0) for gradient in moved)
    assert sum(p.numel() for p in model.parameters()) < sum(p.numel() for p in whole.parameters())


# ---------------------------------------------------------------- sentences


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("glue5", "glue/sst2/train.jsonl.gz"), ("lm5", "lm/press.train.txt.gz"),
        ("qa5", "qa/wikipedia/train.jsonl.gz"),
    ],
)  # fmt: skip
def test_data_that_are_not_there_are_named(name: str, sentence: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "minilm").symlink_to(folder / "minilm")
    small_gpt2._tokenizer.cache_clear()
    with pytest.raises(NocturneInputError, match=sentence) as caught:
        open_benchmark(name, Options(data=tmp_path), 0)
    assert caught.value.code == "benchmark.data" and "--data" in caught.value.message
    assert "--download" not in caught.value.message


def test_rows_that_are_none_a_model_that_is_cut_and_a_codec_for_images_are_refused(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "minilm").symlink_to(folder / "minilm")
    write(tmp_path / "glue" / "sst2" / "train.jsonl.gz", [{"sentence": "the room", "label": 7}])
    with pytest.raises(NocturneInputError, match="other than 0 and 1"):
        open_benchmark("glue5", Options(data=tmp_path), 0)
    write(tmp_path / "glue" / "sst2" / "train.jsonl.gz", [{"text": "the room"}])
    with pytest.raises(NocturneInputError, match="Line 1 of glue/sst2"):
        open_benchmark("glue5", Options(data=tmp_path), 0)
    minilm_in.cache_clear()
    (tmp_path / "minilm").unlink()
    (tmp_path / "minilm").mkdir()
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / "minilm" / name).write_bytes((folder / "minilm" / name).read_bytes())
    with pytest.raises(NocturneInputError, match=r"model\.safetensors"):
        open_benchmark("glue5", Options(data=tmp_path), 0)
    with pytest.raises(NocturneInputError, match="packs images"):
        benchmark = open_benchmark("glue5", Options(data=folder, tasks=2), 0)
        _setting(benchmark, RowSpec(benchmark="glue5", method="er", seed=0, buffer=8, codec="q4"))
    with pytest.raises(NocturneInputError, match="gpt2-small, smollm2"):
        open_benchmark("lm5", Options(data=folder, model="elephant"), 0)


def test_a_text_of_less_than_a_block_is_refused(small: None, folder: Path) -> None:
    with pytest.raises(NocturneInputError, match="a block takes 128"):
        lm5.blocks(small_gpt2._tokenizer(folder), "the room", 4, np.random.default_rng(0))


def test_differences_of_language_are_of_the_log_of_the_perplexity() -> None:
    def row(method: str, seed: int, perplexity: float, rise: float) -> dict[str, Any]:
        logs = 100 * math.log(perplexity)
        figures = {"perplexity": perplexity, "log_perplexity": logs, "rise": rise}
        return {"method": method, "seed": seed, **figures,
                "seconds": 1.0, "compute_ratio": 1.0, "steps": 1, "bytes": 1, "settings": {}}  # fmt: skip

    groups = {
        m: [row(m, s, p + s, r) for s in (0, 1)] for m, p, r in (("finetune", 50, 40.0), ("sleep", 30, 6.0))
    }
    plain, slept = table.lines(groups, {}, against="finetune", measure=table.PERPLEXITY)
    assert slept.reduction == pytest.approx(85.0) and plain.reduction is None
    assert slept.to_er is not None
    assert slept.to_er.mean == pytest.approx(50 * (math.log(30 / 50) + math.log(31 / 51)))
