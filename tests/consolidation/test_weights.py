from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from consolidation.errors import NocturneInputError
from consolidation.families.registry import FAMILIES
from consolidation.formats.checkpoint import inspect_checkpoint
from consolidation.weights import load_model, new_model, save_model
from tests.consolidation.helpers import CONFIG, bits

if TYPE_CHECKING:
    from pathlib import Path


def test_a_checkpoint_goes_back_with_its_own_names_dtypes_and_description(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_model(new_model("mlp", CONFIG, 3), path)
    tensors = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(path).items()}
    meta = {"nocturne.family": "mlp", "nocturne.config": json.dumps(CONFIG)}
    save_file(tensors, path, metadata=meta)
    model = load_model(path)
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    save_model(model, tmp_path / "again.safetensors", metadata={"nocturne.parent": "v3"})
    again = load_file(tmp_path / "again.safetensors")
    assert {n: t.dtype for n, t in again.items()} == {n: torch.bfloat16 for n in tensors}
    assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())
    with safe_open(tmp_path / "again.safetensors", "pt") as file:
        described = file.metadata()
    assert described["nocturne.parent"] == "v3"
    # Transformers opens no other; written anew, as a night's result is, it says so still.
    inspect_checkpoint(tmp_path / "again.safetensors", out=tmp_path / "anew.safetensors")
    with safe_open(tmp_path / "anew.safetensors", "pt") as file:
        assert described["format"] == file.metadata()["format"] == "pt"
    (tmp_path / "anew.safetensors").unlink()
    assert json.loads(described["nocturne.config"]) == CONFIG
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.safetensors", "m.safetensors"]


@pytest.mark.parametrize(
    "names",
    [["net.0", "net.2", "net.4"], ["fc1", "fc2", "out"], ["0", "0.1", "0.1.2"], ["a.b.c", "a.b.d", "a.e"]],
)
def test_any_names_of_linear_layers_fit(names: list[str], tmp_path: Path) -> None:
    config = CONFIG | {"names": names}
    model = new_model("mlp", config, 3)
    assert set(model.state_dict()) == {f"{n}.{part}" for n in names for part in ("weight", "bias")}
    save_model(model, tmp_path / "m")
    assert bits(load_model(tmp_path / "m")) == bits(model)
    x = torch.randn(5, 8)
    assert torch.equal(model(x), new_model("mlp", CONFIG, 3)(x))


@pytest.mark.parametrize(
    ("config", "code"),
    [
        (CONFIG | {"names": ["forward", "b", "c"]}, "checkpoint.config"),
        (CONFIG | {"names": ["a", "a.weight", "c"]}, "checkpoint.config"),
        (CONFIG | {"names": ["a", "a", "c"]}, "checkpoint.config"),
        (CONFIG | {"names": ["../x", "b", "c"]}, "checkpoint.config"),
        (CONFIG | {"activation": "swish"}, "checkpoint.config"),
        (CONFIG | {"layers": [8, 0, 12, 4]}, "checkpoint.config"),
        (CONFIG | {"layers": [8, True, 12, 4]}, "checkpoint.config"),
        (CONFIG | {"layers": [10**6, 10**6, 10**6, 4]}, "checkpoint.config"),
        (CONFIG | {"import": "os"}, "checkpoint.config"),
    ],
)
def test_configs_that_make_no_model_are_refused(config: dict[str, Any], code: str) -> None:
    with pytest.raises(NocturneInputError) as caught:
        new_model("mlp", config, 0)
    assert caught.value.code == code


def write(path: Path, **changes: Any) -> Path:
    tensors = {name: tensor.clone() for name, tensor in new_model("mlp", CONFIG, 0).state_dict().items()}
    tensors |= changes.get("tensors", {})
    for name in changes.get("drop", []):
        del tensors[name]
    meta = {"nocturne.family": "mlp", "nocturne.config": json.dumps(CONFIG)} | changes.get("meta", {})
    save_file(tensors, path, metadata=meta)
    return path


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"drop": ["a.1.bias"]}, "checkpoint.shapes"),
        ({"tensors": {"a.1.weight": torch.zeros(12, 15)}}, "checkpoint.shapes"),
        ({"tensors": {"extra": torch.zeros(2)}}, "checkpoint.shapes"),
        ({"tensors": {"head.bias": torch.zeros(4, dtype=torch.int64)}}, "checkpoint.dtype"),
        ({"tensors": {"head.bias": torch.tensor([0, 1, float("nan"), 2])}}, "weights.non_finite"),
        ({"meta": {"nocturne.family": "transformer"}}, "checkpoint.family"),
        ({"meta": {"nocturne.config": "[1]"}}, "checkpoint.config"),
        ({"meta": {"nocturne.config": "[" * 100_000}}, "checkpoint.config"),
    ],
)
def test_bad_checkpoints_are_refused(changes: dict[str, Any], code: str, tmp_path: Path) -> None:
    with pytest.raises(NocturneInputError) as caught:
        load_model(write(tmp_path / "m", **changes))
    assert caught.value.code == code


def test_a_cut_or_foreign_file_is_refused(tmp_path: Path) -> None:
    data = write(tmp_path / "m").read_bytes()
    for content in (data[:-10], b"hello", b"\x80\x04pickle", b""):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(NocturneInputError) as caught:
            load_model(tmp_path / "bad")
        assert caught.value.code == "checkpoint.format"


def test_a_config_is_inferred_from_shapes_whatever_the_order() -> None:
    spec = FAMILIES["mlp"]
    config = {"layers": [5, 7, 6, 3], "names": ["net.2", "net.9", "net.10"], "activation": "tanh"}
    shapes = spec.expected_shapes(config)
    assert shapes is not None
    found = spec.infer_config(dict(sorted(shapes.items())))
    assert found == {"layers": [5, 7, 6, 3], "names": ["net.2", "net.9", "net.10"]}
    assert spec.infer_config(shapes | {"norm.weight": (5,)}) is None
    assert spec.infer_config({}) is None
    with pytest.raises(NocturneInputError, match="activation"):
        spec.validate_config(found)
