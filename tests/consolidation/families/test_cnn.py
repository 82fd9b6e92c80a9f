"""The cnn family: described without torch, inferred from tensors, the same as torch builds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from consolidation.errors import NocturneInputError
from consolidation.families.adapter import adapter_of
from consolidation.families.registry import FAMILIES, parameter_count
from consolidation.weights import load_model, new_model, save_model
from tests.consolidation.families_helpers import CNN
from tests.consolidation.helpers import bits

if TYPE_CHECKING:
    from pathlib import Path

SPEC = FAMILIES["cnn"]
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "norms": {"norm": True},
    "norms and biases": {"norm": True, "bias": True, "activation": "gelu"},
    "mean head": {"head": "mean", "hidden": []},
    "no pooling": {"pooling": "none", "activation": "tanh"},
    "own names": {"names": ["body.0", "body.2", "top.10", "top.11"], "pooling": "average"},
    "odd picture": {"input": [1, 9, 5], "convolutions": [4, 6]},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_description_says_every_tensor(variant: str, tmp_path: Path) -> None:
    config = SPEC.validate_config(CNN | VARIANTS[variant])
    model = new_model("cnn", config, 3)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert SPEC.expected_shapes(config) == shapes
    assert parameter_count("cnn", config) == sum(p.numel() for p in model.parameters())
    assert model(torch.randn(3, SPEC.input_width(config))).shape == (3, SPEC.outputs(config))
    save_model(model, tmp_path / "m")
    assert bits(load_model(tmp_path / "m")) == bits(model)
    told = {key: config[key] for key in ("input", "layout", "activation", "pooling")}
    inferred = SPEC.infer_config(dict(reversed(shapes.items())))
    assert inferred is not None
    assert not {"input", "activation"} & set(inferred)
    assert SPEC.validate_config(inferred | told) == config


def test_it_is_the_net_that_a_person_would_write() -> None:
    config = SPEC.validate_config(CNN | {"norm": True, "layout": "chw"})
    model = new_model("cnn", config, 5).eval()
    got = {name: model.get_submodule(name) for name in config["names"]}
    plain = nn.Sequential(
        got["conv1"], got["bn1"], nn.ReLU(), nn.MaxPool2d(2), got["conv2"], got["bn2"], nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), got["fc1"], nn.ReLU(), got["fc2"],
    )  # fmt: skip
    x = torch.randn(4, 3, 8, 8)
    assert torch.equal(model(x), plain(x))
    assert torch.equal(model(x.flatten(1)), plain(x))


def test_records_lie_pixel_after_pixel_or_channel_after_channel() -> None:
    x = torch.randn(4, 3, 8, 8)
    expected = new_model("cnn", CNN | {"layout": "chw"}, 5)(x.flatten(1))
    found = new_model("cnn", CNN | {"layout": "hwc"}, 5)(x.permute(0, 2, 3, 1).flatten(1))
    assert torch.allclose(found, expected, atol=1e-6)


def test_blocks_are_hidden_states_and_the_head_is_never_pruned() -> None:
    model = new_model("cnn", CNN | {"norm": True}, 1)
    adapter = adapter_of(model)
    assert len(adapter.blocks(model)) == 3
    prunable = adapter.prunable(model)
    assert list(prunable) == ["conv1.weight", "conv2.weight", "fc1.weight"]
    assert prunable["conv2.weight"] is model.get_parameter("conv2.weight")


def test_one_seed_one_model_and_the_caller_s_randomness_is_left_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    assert bits(new_model("cnn", CNN, 3)) == bits(new_model("cnn", CNN, 3)) != bits(new_model("cnn", CNN, 4))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"input": None}, "3x32x32"),
        ({"input": [3, 8]}, "3x32x32"),
        ({"input": [3, 8, 0]}, "width"),
        ({"input": "3x8xbig"}, "width"),
        ({"input": [3, True, 8]}, "height"),
        ({"input": [3, 2, 2]}, "too small"),
        ({"layout": "whc"}, "chw, hwc"),
        ({"convolutions": []}, "convolutions"),
        ({"convolutions": [4, -1]}, "convolutions"),
        ({"convolutions": "4"}, "convolutions"),
        ({"pooling": "min"}, "max, average, none"),
        ({"activation": "swish"}, "relu, gelu, tanh"),
        ({"norm": "yes"}, "true or false"),
        ({"hidden": [10**9]}, "hidden"),
        ({"input": [3, 4096, 4096], "pooling": "none", "hidden": [4096]}, "parameters"),
        ({"classes": None}, "classes"),
        ({"names": ["a"]}, "4 layer names"),
        ({"names": ["a", "a", "b", "c"]}, "same name"),
        ({"names": ["../x", "a", "b", "c"]}, "cannot name"),
        ({"names": ["forward", "a", "b", "c"]}, "taken"),
        ({"kernel": 5}, "no part"),
    ],
)
def test_configs_that_make_no_model_are_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(NocturneInputError, match=says) as caught:
        new_model("cnn", CNN | change, 0)
    assert caught.value.code == "checkpoint.config"


def test_other_tensors_are_not_taken_for_a_cnn() -> None:
    shapes = dict(SPEC.expected_shapes(CNN) or {})
    assert SPEC.infer_config(shapes | {"extra": (3,)}) is None
    assert SPEC.infer_config(shapes | {"conv2.weight": (6, 4, 5, 5)}) is None
    assert SPEC.infer_config(shapes | {"conv2.weight": (6, 5, 3, 3)}) is None
    assert SPEC.infer_config({}) is None
    assert FAMILIES["mlp"].infer_config(shapes) is None
    assert FAMILIES["vision"].infer_config(shapes) is None
