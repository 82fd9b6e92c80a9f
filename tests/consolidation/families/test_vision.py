"""The vision family: ResNet-18 under torchvision's names; timm models when timm is there."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from consolidation.cycle import sleep
from consolidation.errors import NocturneInputError
from consolidation.families.adapter import adapter_of
from consolidation.families.placing import as_pictures
from consolidation.families.registry import FAMILIES, parameter_count
from consolidation.families.timm_models import library
from consolidation.memory.sampling import Batch
from consolidation.objectives.classification import Classification
from consolidation.phases.per_sample import choose_ways
from consolidation.recipe import preset
from consolidation.weights import load_model, new_model, save_model
from tests.consolidation.families_helpers import RESNET, picture_records
from tests.consolidation.helpers import bits, hooks

if TYPE_CHECKING:
    from pathlib import Path

SPEC = FAMILIES["vision"]
FULL = {"architecture": "resnet18", "input": [3, 32, 32], "layout": "chw", "classes": 10}


def test_pictures_with_the_channels_last_are_copied_and_not_viewed() -> None:
    """torch 2.13.0 corrupts memory in gradients of convolutions over such views, without AVX-512."""
    x = torch.arange(2 * 3 * 4 * 4).float().reshape(2, 48)
    pictures = as_pictures(x, [3, 4, 4], "hwc")
    assert pictures.is_contiguous()
    assert torch.equal(pictures.permute(0, 2, 3, 1).reshape(2, 48), x)


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_the_description_says_every_tensor(stem: str, tmp_path: Path) -> None:
    config = SPEC.validate_config(RESNET | {"stem": stem})
    model = new_model("vision", config, 3)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert SPEC.expected_shapes(config) == shapes
    assert model(torch.randn(3, 192)).shape == (3, 4)
    save_model(model, tmp_path / "m")
    assert bits(load_model(tmp_path / "m")) == bits(model)
    inferred = SPEC.infer_config(shapes)
    assert inferred is not None
    assert SPEC.validate_config(inferred | {"input": "3x8x8", "layout": "hwc"}) == config


def test_the_sizes_are_those_of_the_paper_and_the_names_torchvision_s() -> None:
    imagenet = FULL | {"stem": "imagenet", "classes": 1000, "input": [3, 224, 224]}
    assert parameter_count("vision", imagenet) == 11_689_512  # torchvision's resnet18
    assert parameter_count("vision", FULL) == 11_173_962  # the usual one for CIFAR-10
    names = list(SPEC.expected_shapes(imagenet) or {})
    assert len(names) == 122
    assert {"conv1.weight", "bn1.num_batches_tracked", "layer2.0.downsample.1.running_var"} <= set(names)
    assert {"layer4.1.conv2.weight", "fc.bias"} <= set(names)


def test_blocks_are_the_residual_ones_and_the_head_is_never_pruned() -> None:
    model = new_model("vision", RESNET, 1)
    adapter = adapter_of(model)
    assert len(adapter.blocks(model)) == 8
    assert len(adapter.prunable(model)) == 1 + 16 + 3
    assert "fc.weight" not in adapter.prunable(model)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"architecture": "resnet34"}, "resnet18, or timm/"),
        ({"architecture": "timm/../../etc"}, "resnet18, or timm/"),
        ({"architecture": "timm/hf_hub:someone/model"}, "resnet18, or timm/"),
        ({"architecture": None}, "resnet18, or timm/"),
        ({"architecture": ["resnet18"]}, "resnet18, or timm/"),
        ({"stem": "none"}, "cifar, imagenet"),
        ({"width": 4096}, "width"),
        ({"pretrained": True}, "no part"),
        ({"input": "32x32"}, "3x32x32"),
        ({"classes": "many"}, "classes"),
    ],
)
def test_configs_that_make_no_model_are_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(NocturneInputError, match=says) as caught:
        new_model("vision", RESNET | change, 0)
    assert caught.value.code == "checkpoint.config"


def test_without_timm_the_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(NocturneInputError, match=r"pip install 'nocturne\[vision\]'") as caught:
        new_model("vision", timm_config("resnet18"), 0)
    assert caught.value.code == "family.extra"


def test_a_timm_that_does_not_load_is_said_to_be_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "timm.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    with pytest.raises(NocturneInputError, match=r"does not load \(operator torchvision::nms") as caught:
        new_model("vision", timm_config("resnet18"), 0)
    assert caught.value.code == "family.extra"


def test_only_timm_knows_the_tensors_of_its_models() -> None:
    config = timm_config("vit_tiny_patch16_224")
    assert SPEC.expected_shapes(config) is None
    assert parameter_count("vision", config) is None
    assert SPEC.input_width(SPEC.validate_config(config)) == 3 * 32 * 32


# ---------------------------------------------------------------- with timm


def timm_config(name: str) -> dict[str, Any]:
    return {"architecture": f"timm/{name}", "input": [3, 32, 32], "layout": "chw", "classes": 4}


def needs_timm() -> None:
    try:
        library()
    except NocturneInputError as error:
        pytest.skip(error.message)


TIMM = {"test_vit": (7, 24), "test_resnet": (4, 15), "test_efficientnet": (5, 17), "test_convnext": (4, 31)}


@pytest.mark.parametrize("name", TIMM)
def test_a_timm_model_is_loaded_saved_and_described(name: str, tmp_path: Path) -> None:
    needs_timm()
    model = new_model("vision", timm_config(name), 3)
    assert bits(model) == bits(new_model("vision", timm_config(name), 3))
    assert model(torch.randn(2, 3072)).shape == (2, 4)
    adapter = adapter_of(model)
    blocks, prunable = TIMM[name]
    assert (len(adapter.blocks(model)), len(adapter.prunable(model))) == (blocks, prunable)
    save_model(model, tmp_path / "m")
    assert bits(load_model(tmp_path / "m")) == bits(model)
    tensors = load_file(tmp_path / "m")
    first = next(name for name in tensors if tensors[name].dim() > 1)
    save_file(tensors | {first: torch.zeros(3, 3)}, tmp_path / "bad")
    with pytest.raises(NocturneInputError) as caught:
        load_model(tmp_path / "bad", family="vision", config=timm_config(name))
    assert caught.value.code == "checkpoint.shapes"


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_a_timm_model_sleeps(name: str) -> None:
    needs_timm()
    config = timm_config(name) | {"input": [3, 8, 8], "layout": "hwc"}
    if name == "test_vit":
        config["input"] = [3, 16, 16]
    model = new_model("vision", config, 3)
    sets = [picture_records(i, 24, 1, logits=True, zoom=config["input"][1] // 8) for i in range(2)]
    before = bits(model)
    recipe = preset("night", passes=2, lr=0.01, batch=8, fisher_samples=12, snapshot_every_s=0, dream=0.1)
    report = sleep(model, sets, [], recipe)
    assert report.steps > 0
    assert bits(model) != before
    assert hooks(model) == 0


def test_the_fisher_of_a_vision_transformer_leaves_only_bare_parameters_to_the_plain_way() -> None:
    needs_timm()
    model = new_model("vision", timm_config("test_vit"), 3).eval()
    x, y = torch.randn(2, 3072), torch.tensor([0, 3])
    assert choose_ways(model, Batch.of(x, y), Classification()).plain == ["cls_token", "pos_embed"]


@pytest.mark.parametrize(
    ("name", "says"),
    [("no_such_model", "no model called"), ("vit_tiny_patch16_224", "does not take")],
)
def test_models_that_timm_does_not_have_or_that_do_not_fit_are_refused(name: str, says: str) -> None:
    needs_timm()
    with pytest.raises(NocturneInputError, match=says) as caught:
        new_model("vision", timm_config(name) | {"input": [3, 7, 5]}, 0)
    assert caught.value.code == "checkpoint.config"
