"""The command line: what it prints, how it exits, and that bad input gets a sentence and leaves nothing."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from consolidation.demo import digits
from consolidation.waking import wake
from consolidation.weights import load_model, save_model
from tests.consolidation.formats.files import family_file
from tests.consolidation.formats.folders import BERT, packed
from tests.consolidation.formats.folders import model as hf_folder
from tests.consolidation.lora_helpers import write_adapter
from tests.consolidation.text_helpers import BERT as TINY_BERT
from tests.workers.test_text_whole import folder as bert_folder
from tests.workers.test_text_whole import texts
from workers.cli import BAD_INPUT, OK, REJECTED, app

run = CliRunner()
Array = np.ndarray[Any, Any]


def write_model(
    path: Path, *, described: bool = True, seed: int = 0, changed: dict[str, Array] | None = None
) -> Path:
    rng = np.random.default_rng(seed)
    layers = digits.CONFIG["layers"]
    tensors: dict[str, Array] = {}
    for name, (inputs, outputs) in zip(digits.CONFIG["names"], pairwise(layers), strict=True):
        tensors[f"{name}.weight"] = (rng.normal(size=(outputs, inputs)) / np.sqrt(inputs)).astype(np.float32)
        tensors[f"{name}.bias"] = np.zeros(outputs, np.float32)
    tensors |= changed or {}
    metadata = {"nocturne.family": "mlp", "nocturne.config": json.dumps(digits.CONFIG)} if described else None
    save_file(tensors, path, metadata=metadata)
    return path


@pytest.fixture
def night(tmp_path: Path) -> dict[str, Path]:
    """A described model and two tasks with memories and probes."""
    memories, probes = tmp_path / "memories", tmp_path / "probes"
    memories.mkdir()
    probes.mkdir()
    for index in range(2):
        task = digits.demo_task(index)
        transform: dict[str, Any] = dict(task.train.transform.to_json())
        np.savez(
            memories / f"0{index}-task{index}.npz", x=task.train.x[:100], y=task.train.y[:100], **transform
        )
        np.savez(probes / f"0{index}-task{index}.npz", x=task.probe.x, y=task.probe.y, **transform)
    return {
        "model": write_model(tmp_path / "model.safetensors"),
        "memories": memories,
        "probes": probes,
        "out": tmp_path / "out",
    }


def arguments(night: dict[str, Path], *more: str) -> list[str]:
    return [
        "sleep", str(night["model"]), "--memories", str(night["memories"]), "--probes", str(night["probes"]),
        "--out", str(night["out"]), *more,
    ]  # fmt: skip


def refused(night: dict[str, Path], code: str, *more: str) -> str:
    """Run it, expect a refusal with `code`, nothing written; the sentence."""
    before = {path.name for path in night["out"].parent.iterdir()}
    answer = run.invoke(app, arguments(night, "--json", *more))
    assert answer.exit_code == BAD_INPUT, answer.output
    error = json.loads(answer.stdout)["error"]
    assert error["code"] == code
    assert "Traceback" not in answer.output
    assert str(night["out"].parent) not in error["message"], "no path of the machine"
    assert {path.name for path in night["out"].parent.iterdir()} == before, "nothing may be left"
    return str(error["message"])


def test_a_family_that_is_only_kept_is_refused_before_the_night(night: dict[str, Path]) -> None:
    night["model"].write_bytes(packed(hf_folder(BERT)))
    sentence = refused(night, "checkpoint.family_not_yet")
    assert "encoder" in sentence


def test_a_night_from_files_to_files(night: dict[str, Path]) -> None:
    answer = run.invoke(app, arguments(night, "--json"))
    assert answer.exit_code == OK, answer.output
    result = json.loads(answer.stdout)
    assert result["verdict"] in {"improved", "unchanged"}
    assert sorted(path.name for path in night["out"].iterdir()) == ["model.safetensors", "report.json"]
    assert set(load_file(night["out"] / "model.safetensors")) == set(load_file(night["model"]))
    report = json.loads((night["out"] / "report.json").read_text())
    assert report["verdict"] == result["verdict"]
    assert set(report["after"]) == {"task0", "task1"}, "the leading number orders and is not part of the name"


def test_texts_are_read_by_the_tokenizer_in_the_model_s_folder(night: dict[str, Path]) -> None:
    for seed, folder in enumerate((night["memories"], night["probes"])):
        for path in folder.iterdir():
            path.unlink()
        (folder / "letters.jsonl").write_bytes(texts(30, seed))
    night["model"].write_bytes(bert_folder(night["model"].parent))
    recipe = night["model"].with_name("recipe.json")
    recipe.write_text(json.dumps({"passes": 1, "lr": 0.001, "batch": 8, "fisher_samples": 8}))
    answer = run.invoke(app, arguments(night, "--json", "--recipe", str(recipe)))
    assert answer.exit_code == OK, answer.output
    assert "bert.pooler.dense.weight" in load_file(night["out"] / "model.safetensors")


@pytest.fixture
def adapted(night: dict[str, Path]) -> dict[str, Path]:
    """A LoRA adapter over a BERT, which alone has a tokenizer; "base" is its folder."""
    for seed, folder in enumerate((night["memories"], night["probes"])):
        for path in folder.iterdir():
            path.unlink()
        (folder / "letters.jsonl").write_bytes(texts(30, seed))
    base = night["model"].with_name("base.zip")
    base.write_bytes(bert_folder(night["model"].parent))
    write_adapter(night["model"], base=TINY_BERT | {"vocab_size": 24})
    return night | {"base": base}


def test_an_adapter_sleeps_over_its_base(adapted: dict[str, Path]) -> None:
    recipe = adapted["model"].with_name("recipe.json")
    recipe.write_text(json.dumps({"passes": 1, "lr": 0.01, "batch": 8, "fisher_samples": 8}))
    before, base = load_file(adapted["model"]), adapted["base"].read_bytes()
    answer = run.invoke(
        app, arguments(adapted, "--json", "--recipe", str(recipe), "--base", str(adapted["base"]))
    )
    assert answer.exit_code in {OK, REJECTED}, answer.output
    made = load_file(adapted["out"] / "model.safetensors")
    assert made.keys() == before.keys(), "the adapter alone goes home"
    assert adapted["base"].read_bytes() == base


def test_an_adapter_without_its_base_and_a_base_without_an_adapter(adapted: dict[str, Path]) -> None:
    assert "as --base" in refused(adapted, "peft.base")
    base = str(adapted["base"])
    adapted["model"].write_bytes(adapted["base"].read_bytes())
    assert "Leave --base out" in refused(adapted, "peft.base", "--base", base)
    assert "does not exist" in refused(adapted, "checkpoint.missing", "--base", "nowhere.zip")


def test_every_format_of_records_is_taken(night: dict[str, Path]) -> None:
    for folder in (night["memories"], night["probes"]):
        for index, ending in enumerate((".csv", ".parquet")):
            with np.load(folder / f"0{index}-task{index}.npz") as archive:
                x, y = archive["x"].reshape(len(archive["y"]), -1), archive["y"]
            (folder / f"0{index}-task{index}.npz").unlink()
            names = [f"p{n}" for n in range(x.shape[1])]
            if ending == ".parquet":
                columns = dict(zip(names, x.T, strict=True)) | {"label": y}
                pq.write_table(pa.table(columns), folder / f"0{index}-task{index}{ending}")
                continue
            rows = [",".join(map(str, (*row, label))) for row, label in zip(x, y, strict=True)]
            text = "\n".join([",".join([*names, "y"]), *rows])
            path = folder / f"0{index}-task{index}{ending}"
            packed = folder == night["probes"]
            path.with_name(path.name + ".gz" * packed).write_bytes(
                gzip.compress(text.encode()) if packed else text.encode()
            )
    answer = run.invoke(app, arguments(night, "--json", "--scale", "0.0625", "--recipe", "nap"))
    assert answer.exit_code == OK, answer.output
    report = json.loads((night["out"] / "report.json").read_text())
    assert set(report["after"]) == {"task0", "task1"}


def test_records_that_look_skewed_are_told(night: dict[str, Path]) -> None:
    task = digits.demo_task(0)
    x, y = np.repeat(task.train.x[:20], 10, axis=0), np.repeat(task.train.y[:20], 10)
    transform: dict[str, Any] = dict(task.train.transform.to_json())
    np.savez(night["memories"] / "00-task0.npz", x=x, y=y, **transform)
    answer = run.invoke(app, arguments(night, "--recipe", "nap"))
    assert "note: 00-task0.npz: 180 of 200 records (90%) repeat an earlier one." in answer.stdout


def test_a_rejected_night_says_so_with_its_exit_code(night: dict[str, Path]) -> None:
    """Memories with wrong labels would teach the model nonsense; the proof probes see it."""
    model = load_model(night["model"])
    for index in range(2):
        wake(model, digits.demo_task(index).train, [], digits.wake_recipe(index))
    save_model(model, night["model"])
    for index in range(2):
        task = digits.demo_task(index)
        transform: dict[str, Any] = dict(task.train.transform.to_json())
        wrong = (task.train.y[:100] + 1) % digits.CLASSES
        np.savez(night["memories"] / f"0{index}-task{index}.npz", x=task.train.x[:100], y=wrong, **transform)
    answer = run.invoke(app, arguments(night, "--json"))
    assert answer.exit_code == REJECTED, answer.output
    result = json.loads(answer.stdout)
    assert result["verdict"] == "rejected"
    assert result["reasons"]
    assert (night["out"] / "model.safetensors").exists(), "the candidate is kept beside the reasons"


def test_the_person_reads_before_and_after(night: dict[str, Path]) -> None:
    answer = run.invoke(app, arguments(night, "--recipe", "nap"))
    assert answer.exit_code == OK, answer.output
    for word in ("before", "after", "score", "verdict"):
        assert word in answer.stdout


def test_the_files_say_how_they_are_scaled_and_the_options_overrule_them(night: dict[str, Path]) -> None:
    def scores_before(*options: str) -> Any:
        answer = run.invoke(app, arguments(night, "--json", "--recipe", "nap", *options))
        assert answer.exit_code in {OK, REJECTED}, answer.output
        return json.loads((night["out"] / "report.json").read_text())["before"]

    transform = digits.TRANSFORM.to_json()
    spoken = [f"--{name}={value}" for name, value in transform.items()]
    assert scores_before() == scores_before(*spoken)
    assert scores_before("--scale=100") != scores_before()


def test_an_undescribed_file_sleeps_when_the_options_describe_it(night: dict[str, Path]) -> None:
    write_model(night["model"], described=False)
    answer = run.invoke(app, arguments(night, "--json", "--family", "mlp", "--activation", "relu"))
    assert answer.exit_code == OK, answer.output


def test_a_convolutional_net_sleeps_from_its_tensors_and_the_options(night: dict[str, Path]) -> None:
    config = {"input": [1, 8, 8], "convolutions": [4], "norm": True, "activation": "relu", "classes": 10}
    family_file(night["model"], "cnn", config, described=False)
    told = (
        "--field",
        "input=1x8x8",
        "--field",
        "layout=chw",
        "--field",
        "pooling=max",
        "--activation",
        "relu",
    )
    answer = run.invoke(app, arguments(night, "--json", *told))
    assert answer.exit_code in (OK, REJECTED), answer.output
    assert "input" in refused(night, "checkpoint.config_missing", *told[2:])
    assert run.invoke(app, arguments(night, "--field", "input")).exit_code == BAD_INPUT


def test_a_truncated_file(night: dict[str, Path]) -> None:
    content = night["model"].read_bytes()
    night["model"].write_bytes(content[:-100])
    message = refused(night, "tensor.size_mismatch")
    assert "model.safetensors" in message


def test_text_in_disguise(night: dict[str, Path]) -> None:
    night["model"].write_text("not a model at all\n" * 30)
    assert "model.safetensors" in refused(night, "type.mismatch")


def test_a_pickle_is_never_opened(night: dict[str, Path], tmp_path: Path) -> None:
    canary = tmp_path.parent / f"{tmp_path.name}-canary"
    night["model"].write_bytes(b"\x80\x04" + b"cposix\nsystem\n" + f"(S'touch {canary}'\ntR.".encode())
    message = refused(night, "pickle.global_forbidden")
    assert "safetensors" in message
    assert not canary.exists()


def test_shapes_that_do_not_fit_the_description(night: dict[str, Path]) -> None:
    write_model(night["model"], changed={"net.4.weight": np.zeros((10, 99), np.float32)})
    assert "net.4.weight" in refused(night, "checkpoint.shapes")


def test_weights_that_are_not_numbers(night: dict[str, Path]) -> None:
    write_model(night["model"], changed={"net.4.bias": np.full(10, np.nan, np.float32)})
    refused(night, "weights.non_finite")


def test_object_arrays_are_never_unpickled(night: dict[str, Path]) -> None:
    path = night["memories"] / "00-task0.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object), y=np.array([0]))
    assert "00-task0.npz" in refused(night, "npz.pickle_forbidden")


def test_labels_out_of_range(night: dict[str, Path]) -> None:
    np.savez(night["memories"] / "00-task0.npz", x=np.zeros((3, 64), np.uint8), y=np.array([0, -1, 2]))
    refused(night, "records.label_range")


def test_more_classes_than_the_model_has(night: dict[str, Path]) -> None:
    np.savez(night["memories"] / "00-task0.npz", x=np.zeros((3, 64), np.uint8), y=np.array([0, 12, 2]))
    refused(night, "records.classes")


def test_memories_of_another_width(night: dict[str, Path]) -> None:
    np.savez(night["memories"] / "00-task0.npz", x=np.zeros((3, 60), np.uint8), y=np.array([0, 1, 2]))
    message = refused(night, "records.width")
    assert "60" in message
    assert "64" in message


def test_an_empty_probe(night: dict[str, Path]) -> None:
    np.savez(night["probes"] / "00-task0.npz", x=np.zeros((0, 64), np.uint8), y=np.zeros(0, np.int64))
    refused(night, "records.empty")


def test_a_task_without_a_probe(night: dict[str, Path]) -> None:
    (night["probes"] / "00-task0.npz").unlink()
    assert "task0" in refused(night, "cycle.no_probes")


def test_what_was_just_learned_is_used_while_it_is_at_hand(night: dict[str, Path], tmp_path: Path) -> None:
    def weights(*more: str) -> dict[str, bytes]:
        answer = run.invoke(app, arguments(night, "--json", "--recipe", str(recipe), *more))
        assert answer.exit_code in {OK, REJECTED}, answer.output
        result = load_file(night["out"] / "model.safetensors")
        return {name: tensor.tobytes() for name, tensor in result.items()}

    recipe = tmp_path / "recipe.json"
    recipe.write_text('{"preset": "nap", "passes": 2}')
    task = digits.demo_task(1)
    given = str(tmp_path / "whatever-its-name.npz")
    transform: dict[str, Any] = dict(task.train.transform.to_json())
    np.savez(given, x=task.train.x, y=task.train.y, **transform)
    with_it = weights("--awake", given)
    assert with_it == weights("--awake", given) != weights()
    report = json.loads((night["out"] / "report.json").read_text())
    assert set(report["after"]) == {"task0", "task1"}, "it is the last task's, whatever the file is called"


@pytest.mark.parametrize("name", ["nothing.npz", "folder.npz", "notes.md"])
def test_training_records_that_are_no_file_of_records(
    night: dict[str, Path], tmp_path: Path, name: str
) -> None:
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "notes.md").write_text("not records")
    assert name in refused(night, "cycle.no_awake", "--awake", str(tmp_path / name))


def test_training_records_that_do_not_fit_are_named(night: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "day.npz"
    np.savez(path, x=np.zeros((3, 60), np.uint8), y=np.array([0, 1, 2]))
    message = refused(night, "records.width", "--awake", str(path))
    assert "training records" in message and "60" in message and "64" in message
    np.savez(path, x=np.array([{"a": 1}], dtype=object), y=np.array([0]))
    assert "day.npz" in refused(night, "npz.pickle_forbidden", "--awake", str(path))


def test_training_records_that_are_all_in_the_probe(night: dict[str, Path]) -> None:
    refused(night, "memories.empty", "--awake", str(night["probes"] / "01-task1.npz"))


def test_folders_that_hold_nothing(night: dict[str, Path], tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    night["memories"] = empty
    refused(night, "cycle.no_memories")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ('{"passes": -1}', "cycle.param_range"),
        ('{"lr": 1e999}', "cycle.param_range"),
        ('{"steps": 5}', "cycle.param_unknown"),
        ("[1]", "cycle.recipe_format"),
        ("{", "cycle.recipe_format"),
        ("[" * 100_000, "cycle.recipe_format"),
    ],
)
def test_recipes_that_make_no_sense(night: dict[str, Path], tmp_path: Path, content: str, code: str) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text(content)
    refused(night, code, "--recipe", str(recipe))


def test_a_preset_that_does_not_exist(night: dict[str, Path]) -> None:
    assert "night" in refused(night, "cycle.recipe_missing", "--recipe", "siesta")


def test_the_old_checkpoint_is_never_overwritten(night: dict[str, Path]) -> None:
    before = night["model"].read_bytes()
    night["out"] = night["model"].parent
    answer = run.invoke(app, arguments(night, "--json"))
    assert answer.exit_code == BAD_INPUT
    assert json.loads(answer.stdout)["error"]["code"] == "out.is_input"
    assert night["model"].read_bytes() == before


def test_an_out_that_is_a_file_is_refused_before_the_night(night: dict[str, Path]) -> None:
    night["out"].write_text("mine")
    refused(night, "out.not_writable")
    assert night["out"].read_text() == "mine"


@pytest.mark.parametrize("device", ["banana", "cuda:77"])
def test_a_device_that_is_not_there(night: dict[str, Path], device: str) -> None:
    refused(night, "device.missing", "--device", device)


def test_a_model_that_does_not_exist(night: dict[str, Path]) -> None:
    night["model"].unlink()
    refused(night, "checkpoint.missing")


@pytest.mark.timeout(120)
def test_the_demo_forgets_and_remembers() -> None:
    """The command itself, in its own process: one JSON object with the figures of a real night."""
    answer = subprocess.run(
        [sys.executable, "-m", "workers.cli", "demo", "--json"],
        capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    assert answer.returncode == OK, answer.stderr
    result = json.loads(answer.stdout)
    assert set(result) >= {"before", "after", "verdict", "seconds"}
    assert result["verdict"] == "improved"
    assert result["before"]["retention"] < 0.8 < result["after"]["retention"] <= 1.0
    assert 0 <= result["after"]["forgetting"] < result["before"]["forgetting"] <= 1.0
    assert result["seconds"] < 60


def test_help_says_what_is_given_as_awake() -> None:
    words = " ".join(run.invoke(app, ["sleep", "--help"]).output.split())
    assert "--awake" in words and "that the model has just learned from" in words


def test_help_shows_an_example() -> None:
    for command in ("demo", "sleep", "worker", "workers", "drain", "up"):
        answer = run.invoke(app, [command, "--help"])
        assert answer.exit_code == OK
        assert "Example:" in answer.output
