"""Checkpoints: described by the file, the tensors or the form; re-encoded."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from consolidation.errors import NocturneInputError
from consolidation.families.registry import FAMILIES, parameter_count
from consolidation.formats.checkpoint import inspect_checkpoint
from tests.consolidation.formats.files import (
    code_of,
    family_file,
    mlp_file,
    mlp_tensors,
)


def test_the_copy_holds_the_same_tensors_and_the_description(tmp_path: Path) -> None:
    source = mlp_file(tmp_path / "in", described=False)
    info = inspect_checkpoint(source, config={"activation": "gelu"}, out=tmp_path / "out")
    before, after = load_file(source), load_file(tmp_path / "out")
    assert before.keys() == after.keys()
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)
    with safe_open(tmp_path / "out", framework="numpy") as opened:
        metadata = opened.metadata()
    assert metadata["nocturne.family"] == "mlp"
    assert json.loads(metadata["nocturne.config"]) == info["config"]
    assert info["config"] == {"layers": [4, 5, 3], "activation": "gelu", "names": ["net.0", "net.2"]}
    assert info["parameters"] == 4 * 5 + 5 + 5 * 3 + 3
    assert info["sha256"] == hashlib.sha256((tmp_path / "out").read_bytes()).hexdigest()
    assert info["size"] == (tmp_path / "out").stat().st_size
    assert {item["name"] for item in info["tensors"]} == set(before)


def test_a_copy_of_a_copy_is_the_same_bytes(tmp_path: Path) -> None:
    first = inspect_checkpoint(mlp_file(tmp_path / "in"), out=tmp_path / "one")
    second = inspect_checkpoint(tmp_path / "one", out=tmp_path / "two")
    assert first == second
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_metadata_of_other_programs_is_kept(tmp_path: Path) -> None:
    save_file(mlp_tensors(), tmp_path / "in", metadata={"format": "pt", "note": "<b>mine</b>"})
    inspect_checkpoint(tmp_path / "in", config={"activation": "relu"}, out=tmp_path / "out")
    with safe_open(tmp_path / "out", framework="numpy") as opened:
        assert opened.metadata()["note"] == "<b>mine</b>"


def test_shapes_that_do_not_match_the_metadata(tmp_path: Path) -> None:
    config = {"layers": [4, 6, 3], "activation": "relu", "names": ["net.0", "net.2"]}
    save_file(
        mlp_tensors(),
        tmp_path / "in",
        metadata={"nocturne.family": "mlp", "nocturne.config": json.dumps(config)},
    )
    with pytest.raises(NocturneInputError) as caught:
        inspect_checkpoint(tmp_path / "in", out=tmp_path / "out")
    assert code_of(caught).startswith("checkpoint.shape")
    for word in ("net.0", "5", "6"):
        assert word in caught.value.message
    assert not (tmp_path / "out").exists()


CNN: dict[str, Any] = {
    "input": [3, 8, 8], "convolutions": [4, 6], "norm": True, "activation": "relu", "hidden": [7],
    "classes": 5,
}  # fmt: skip
RESNET: dict[str, Any] = {"architecture": "resnet18", "width": 2, "input": [3, 8, 8], "classes": 5}
FORM = {"input": "3x8x8", "layout": "chw", "activation": "relu", "pooling": "max"}


@pytest.mark.parametrize(("family", "config"), [("cnn", CNN), ("vision", RESNET)])
def test_a_net_with_norms_is_recognised_and_the_form_tells_the_rest(
    family: str, config: dict[str, Any], tmp_path: Path
) -> None:
    full = FAMILIES[family].validate_config(config)
    source = family_file(tmp_path / "in", family, full, described=False)
    # the form's fields of other families come along and are not for this one
    info = inspect_checkpoint(source, config=FORM, out=tmp_path / "out")
    assert (info["family"], info["config"]) == (family, full)
    assert info["parameters"] == parameter_count(family, full)
    assert {item["dtype"] for item in info["tensors"]} == {"F32", "I64"}
    before, after = load_file(source), load_file(tmp_path / "out")
    assert all(np.array_equal(after[name], tensor) for name, tensor in before.items())
    assert inspect_checkpoint(tmp_path / "out", out=tmp_path / "again")["config"] == full


@pytest.mark.parametrize(
    ("family", "config", "field", "says"),
    [
        ("cnn", CNN, "input", "for example 3x32x32"),
        ("cnn", CNN, "pooling", "max, average, none"),
        ("vision", RESNET, "input", "for example 3x32x32"),
        ("vision", RESNET, "layout", "chw, hwc"),
    ],
)
def test_what_the_file_does_not_tell_is_asked(
    family: str, config: dict[str, Any], field: str, says: str, tmp_path: Path
) -> None:
    source = family_file(tmp_path / "in", family, FAMILIES[family].validate_config(config), described=False)
    told = {name: value for name, value in FORM.items() if name != field}
    with pytest.raises(NocturneInputError, match=says) as caught:
        inspect_checkpoint(source, config=told)
    assert code_of(caught) == "checkpoint.config_missing"
    assert caught.value.detail["field"] == field


def test_a_wrong_picture_size_is_noticed_by_the_first_linear_layer(tmp_path: Path) -> None:
    source = family_file(tmp_path / "in", "cnn", FAMILIES["cnn"].validate_config(CNN), described=False)
    with pytest.raises(
        NocturneInputError, match=r"fc1\.weight is 7 x 24; the description says 7 x 96"
    ) as caught:
        inspect_checkpoint(source, config=FORM | {"input": "3x16x16"})
    assert code_of(caught) == "checkpoint.shapes"


def test_a_timm_model_is_taken_by_its_name(tmp_path: Path) -> None:
    save_file({"blocks.0.weight": np.ones((4, 4), "f4")}, tmp_path / "in")
    told = {"architecture": "timm/test_vit", "input": "3x32x32", "layout": "chw", "classes": "5"}
    info = inspect_checkpoint(tmp_path / "in", family="vision", config=told, out=tmp_path / "out")
    assert info["config"] == {
        "architecture": "timm/test_vit", "input": [3, 32, 32], "layout": "chw", "classes": 5,
    }  # fmt: skip
    with pytest.raises(NocturneInputError) as caught:
        inspect_checkpoint(tmp_path / "in", family="vision", config=told | {"classes": ""})
    assert code_of(caught) == "checkpoint.family_unknown"


def test_a_counter_is_one_whole_number_and_nothing_else_is(tmp_path: Path) -> None:
    source = family_file(tmp_path / "in", "cnn", CNN)
    tensors = load_file(source)
    meta = {"nocturne.family": "cnn", "nocturne.config": json.dumps(CNN)}
    for name, value in (
        ("bn1.num_batches_tracked", np.array(3, np.int32)),
        ("bn1.running_var", np.ones(4, "i8")),
    ):
        save_file(tensors | {name: value}, tmp_path / "bad", metadata=meta)
        with pytest.raises(NocturneInputError) as caught:
            inspect_checkpoint(tmp_path / "bad")
        assert code_of(caught) == "tensor.dtype"


BAD: dict[str, tuple[str, dict[str, Any], dict[str, str] | None, dict[str, Any]]] = {
    "unknown-tensors": ("checkpoint.family_unknown", {"conv.weight": np.zeros((2, 2, 3, 3))}, None, {}),
    "unknown-family": ("checkpoint.family_unknown", mlp_tensors(), {"nocturne.family": "<gpt>"}, {}),
    "family-of-the-form-does-not-fit": (
        "checkpoint.family_unknown",
        {"conv.weight": np.zeros((2, 2, 3, 3))},
        None,
        {"family": "mlp"},
    ),
    "activation-unknown": ("checkpoint.config_missing", mlp_tensors(), None, {}),
    "activation-invented": ("checkpoint.config", mlp_tensors(), None, {"config": {"activation": "sign"}}),
    "config-not-json": (
        "checkpoint.metadata",
        mlp_tensors(),
        {"nocturne.family": "mlp", "nocturne.config": "{"},
        {},
    ),
    "config-nested-deep": (
        "checkpoint.metadata",
        mlp_tensors(),
        {"nocturne.family": "mlp", "nocturne.config": "[" * 100_000},
        {},
    ),
    "whole-numbers": (
        "tensor.dtype",
        {"net.0.weight": np.zeros((3, 4), np.int64), "net.0.bias": np.zeros(3, np.int64)},
        None,
        {"config": {"activation": "relu"}},
    ),
    "no-tensors": ("checkpoint.no_tensors", {}, {"a": "b"}, {}),
}


@pytest.mark.parametrize("row", BAD)
def test_a_checkpoint_that_nobody_could_load_is_refused(row: str, tmp_path: Path) -> None:
    code, tensors, metadata, options = BAD[row]
    save_file(tensors, tmp_path / "in", metadata=metadata)
    with pytest.raises(NocturneInputError) as caught:
        inspect_checkpoint(tmp_path / "in", out=tmp_path / "out", **options)
    assert code_of(caught) == code
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(FileExistsError):
        inspect_checkpoint(mlp_file(tmp_path / "in"), out=tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_memory_stays_flat(tmp_path: Path) -> None:
    width = 5000
    tensors = {
        "net.0.weight": np.zeros((width, width), np.float32),
        "net.0.bias": np.zeros(width, np.float32),
    }
    save_file(tensors, tmp_path / "in")
    tracemalloc.start()
    info = inspect_checkpoint(tmp_path / "in", config={"activation": "relu"}, out=tmp_path / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert info["size"] > 95 * 2**20
    assert peak < 24 * 2**20
