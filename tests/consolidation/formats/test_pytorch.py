"""Files of torch.save, read without PyTorch: every bit is compared with what PyTorch itself reads."""

from __future__ import annotations

import collections
import zipfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from consolidation.errors import NocturneInputError
from consolidation.formats.checkpoint import inspect_checkpoint
from consolidation.formats.open_weights import open_weights
from consolidation.formats.region import Region
from tests.consolidation.formats.files import code_of


def read(path: Path, tmp_path: Path) -> tuple[dict[str, bytes], dict[str, tuple[str, tuple[int, ...]]], Any]:
    """Bytes and shapes by name, as our reader gives them."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        source = open_weights(
            Region.of(path), filename="model.pt", spool=tmp_path / "spool", limit_bytes=10**9, stack=stack
        )
        data = {name: b"".join(source.read(name)) for name in source.tensors}
    assert not list(tmp_path.glob("spool*"))
    return data, {name: (entry.dtype, entry.shape) for name, entry in source.tensors.items()}, source


def raw(tensor: torch.Tensor) -> bytes:
    """A tensor's numbers in row order."""
    flat = tensor.detach().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


BASE = torch.arange(60, dtype=torch.float32).reshape(5, 12)
TENSORS: dict[str, dict[str, Any]] = {
    "plain": {"w": BASE},
    "all-number-formats": {
        str(kind): torch.arange(6).to(kind).reshape(2, 3)
        for kind in (
            torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32,
            torch.int16, torch.int8, torch.uint8, torch.bool,
        )
    },
    "float8-and-unsigned": {
        "a": torch.ones(4).to(torch.float8_e4m3fn), "b": torch.ones(4).to(torch.float8_e5m2),
        "c": torch.arange(4).to(torch.uint16), "d": torch.arange(4).to(torch.uint32),
    },
    "views-of-one-storage": {"a": BASE[1:3], "b": BASE[:, 2:5], "c": BASE.t(), "d": BASE[::2, ::3]},
    "expanded": {"a": torch.tensor([[1.0], [2.0]]).expand(2, 7)},
    "no-dimensions-and-none-inside": {"a": torch.tensor(3.5), "b": torch.zeros(0, 4), "c": torch.ones(1, 1)},
    "tied": {"embed.weight": BASE, "head.weight": BASE},
    "parameters": {"w": nn.Parameter(BASE), "b": nn.Parameter(torch.ones(2), requires_grad=False)},
    "permuted": {"a": torch.arange(120.0).reshape(2, 3, 4, 5).permute(3, 1, 0, 2)},
}  # fmt: skip


@pytest.mark.parametrize("case", TENSORS)
def test_every_bit_is_what_pytorch_reads(case: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(TENSORS[case], path)
    oracle = torch.load(path, weights_only=True)
    data, shapes, source = read(path, tmp_path)
    assert list(shapes) == list(oracle)
    assert source.format == "pytorch"
    for name, tensor in oracle.items():
        assert shapes[name][1] == tuple(tensor.shape)
        assert data[name] == raw(tensor), name


def test_a_modules_own_state_dict_with_batchnorm(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    torch.save(model.state_dict(), tmp_path / "model.pt")  # an OrderedDict with _metadata, put in by BUILD
    data, _, source = read(tmp_path / "model.pt", tmp_path)
    assert {name: raw(tensor) for name, tensor in model.state_dict().items()} == data
    assert source.notes == ()


NESTED: dict[str, Any] = {
    "state_dict": lambda w: {"state_dict": w, "epoch": 3, "best": 0.5},
    "model_state_dict-with-an-optimizer": lambda w: {
        "model_state_dict": w,
        "optimizer": {"state": {0: {"exp_avg": torch.ones(9)}}, "param_groups": [{"lr": 1}]},
    },
    "lightning": lambda w: {
        "state_dict": {f"model.{name}": value for name, value in w.items()},
        "pytorch-lightning_version": "2.5", "hyper_parameters": Namespace(lr=0.1), "callbacks": {},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(9)}}}], "global_step": 10,
    },
    "wrapped-for-many-gpus": lambda w: {f"module.{name}": value for name, value in w.items()},
    "compiled-and-nested": lambda w: {"model": {"state_dict": {f"_orig_mod.{n}": v for n, v in w.items()}}},
    "beside-numpy-and-paths": lambda w: {
        "model": w, "score": np.float64(0.5), "history": np.arange(3), "path": Path("x"),
        "args": Namespace(a=1), "seen": collections.Counter("ab"), "tags": {1, 2},
    },
}  # fmt: skip


@pytest.mark.parametrize("case", NESTED)
def test_nested_weights_are_found_and_said(case: str, tmp_path: Path) -> None:
    weights = {"net.0.weight": BASE, "net.0.bias": torch.ones(5)}
    torch.save(NESTED[case](weights), tmp_path / "model.pt")
    data, _, source = read(tmp_path / "model.pt", tmp_path)
    assert data == {name: raw(tensor) for name, tensor in weights.items()}
    assert source.notes
    assert all(note.endswith(".") and note.isprintable() for note in source.notes)


def test_compressed_by_somebody_it_is_read_too(tmp_path: Path) -> None:
    torch.save({"w": BASE, "v": BASE[1:]}, tmp_path / "stored.pt")
    with (
        zipfile.ZipFile(tmp_path / "stored.pt") as old,
        zipfile.ZipFile(tmp_path / "model.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    data, _, _ = read(tmp_path / "model.pt", tmp_path)
    assert data == {"w": raw(BASE), "v": raw(BASE[1:])}


def test_it_becomes_a_checkpoint_that_plain_pytorch_loads(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    torch.save({"state_dict": model.state_dict()}, tmp_path / "model.pt")
    info = inspect_checkpoint(tmp_path / "model.pt", config={"activation": "relu"}, out=tmp_path / "out")
    assert (info["format"], info["family"], info["config"]["layers"]) == ("pytorch", "mlp", [4, 5, 3])
    with safe_open(tmp_path / "out", framework="pt") as file:
        again = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    other = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    other.load_state_dict(again)
    x = torch.randn(7, 4)
    assert torch.equal(model(x), other(x))


def test_numbers_that_would_take_too_much_room_are_not_written(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1).expand(10**9)}, tmp_path / "model.pt")
    with pytest.raises(NocturneInputError) as error:
        inspect_checkpoint(tmp_path / "model.pt", out=tmp_path / "out", limit_bytes=10**6)
    assert code_of(error) == "weights.expansion_limit"
    assert not (tmp_path / "out").exists()
