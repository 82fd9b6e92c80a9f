"""Any PyTorch module, wrapped; a family of one's own, registered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

import consolidation
from consolidation.cycle import sleep
from consolidation.errors import NocturneInputError
from consolidation.families import wrap
from consolidation.families.adapter import adapter_of
from consolidation.families.mlp_spec import MlpSpec
from consolidation.families.registry import FAMILIES, family_spec, register
from consolidation.recipe import preset
from consolidation.waking import wake
from consolidation.weights import load_model, new_model, save_model
from tests.consolidation.families_helpers import picture_records
from tests.consolidation.helpers import bits, hooks, wake_recipe

if TYPE_CHECKING:
    from pathlib import Path

SHORT: dict[str, Any] = {"passes": 3, "lr": 0.02, "batch": 16, "fisher_samples": 20, "snapshot_every_s": 0}


class Gated(nn.Module):
    """A net of no family: a shared gate, an LSTM among its children, and a bare parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.LSTM(24, 10, batch_first=True)
        self.gate = nn.Linear(10, 10)
        self.deep = nn.Sequential(nn.Linear(10, 12), nn.ReLU())
        self.scale = nn.Parameter(torch.ones(12))
        self.out = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        h, _ = self.rows(x.reshape(-1, 8, 24))
        h = h[:, -1]
        logits: Tensor = self.out(self.scale * self.deep(h * torch.sigmoid(self.gate(h))))
        return logits


def test_ten_lines_from_a_plain_module_to_a_report() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, 4))
    model = consolidation.wrap(net, 192, 4)
    assert model is net
    woken = wake(model, picture_records(0, 60, 1), [picture_records(0, 40, 2)], wake_recipe(epochs=2))
    assert woken.memories is not None
    report = sleep(model, [woken.memories], [picture_records(0, 40, 2)], preset("night", **SHORT))
    assert report.verdict in {"improved", "unchanged", "rejected"}
    assert report.steps > 0
    assert hooks(model) == 0


def test_blocks_and_prunable_weights_are_found() -> None:
    net = wrap(Gated(), 192, 4)
    adapter = adapter_of(net)
    # the LSTM gives a tuple, which is no hidden state; the last child gives the logits
    assert adapter.blocks(net) == [net.gate, net.deep]
    assert list(adapter.prunable(net)) == ["gate.weight", "deep.0.weight"]
    chosen = wrap(Gated(), 192, 4, blocks=[], prunable=["rows.weight_hh_l0"])
    assert adapter.blocks(chosen) == []
    assert list(adapter.prunable(chosen)) == ["rows.weight_hh_l0"]


@pytest.mark.parametrize(
    "layers",
    [
        lambda: (nn.Linear(192, 16), nn.BatchNorm1d(16, affine=False)),
        lambda: (nn.Linear(192, 16), nn.LayerNorm(16, elementwise_affine=False)),
        lambda: (nn.utils.parametrizations.weight_norm(nn.Linear(192, 16)),),
    ],
)
def test_norms_without_weights_and_weights_that_are_computed_sleep_too(layers: Any) -> None:
    torch.manual_seed(0)
    model = wrap(nn.Sequential(*layers(), nn.ReLU(), nn.Linear(16, 4)), 192, 4)
    report = sleep(
        model,
        [picture_records(0, 30, 1)],
        [picture_records(0, 20, 2)],
        preset("night", **SHORT | {"passes": 1}),
    )
    assert report.fisher is not None
    assert report.fisher.tensors.keys() == dict(model.named_parameters()).keys()
    assert all(bool((tensor > 0).any()) for tensor in report.fisher.tensors.values())


def test_a_tied_weight_is_not_pruned_by_itself() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(192, 192), nn.Linear(192, 192), nn.Linear(192, 4)
            self.b.weight = self.a.weight

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.c(self.b(torch.tanh(self.a(x))))
            return logits

    net = wrap(Tied(), 192, 4)
    assert list(adapter_of(net).prunable(net)) == []


def test_a_net_of_no_family_sleeps_with_everything_on() -> None:
    torch.manual_seed(1)
    model, reference = wrap(Gated(), 192, 4), wrap(Gated(), 192, 4)
    sets = [picture_records(i, 30, 1, logits=True) for i in range(2)]
    recipe = preset("night", **SHORT, dream=0.2, anchor=0.1, reconstruct="consistency", fisher_labels="exact")
    report = sleep(model, sets, [picture_records(i, 30, 2) for i in range(2)], recipe, reference=reference)
    assert report.fisher is not None
    assert report.fisher.tensors.keys() == dict(model.named_parameters()).keys()
    assert hooks(model) == 0


@pytest.mark.parametrize(
    ("width", "classes", "prunable", "says"),
    [
        (191, 4, None, "does not take"),
        (192, 5, None, r"\[2, 4\], not logits \[2, 5\]"),
        (192, 4, ["nothing"], "no weight of this module"),
        (192, 4, ["0.bias"], "no weight of this module"),
    ],
)
def test_what_does_not_fit_is_said_at_once(
    width: int, classes: int, prunable: list[str] | None, says: str
) -> None:
    net = nn.Sequential(nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, 4))
    with pytest.raises(NocturneInputError, match=says) as caught:
        wrap(net, width, classes, prunable=prunable)
    assert caught.value.code == "family.module"
    assert hooks(net) == 0
    assert net.training


def test_a_wrapped_module_has_no_file_format(tmp_path: Path) -> None:
    save_model(wrap(nn.Sequential(nn.Linear(192, 4)), 192, 4), tmp_path / "m")
    with pytest.raises(NocturneInputError, match="Build the module yourself") as caught:
        load_model(tmp_path / "m")
    assert caught.value.code == "checkpoint.family"


def test_a_model_of_no_family_hears_which_there_are_and_what_to_do() -> None:
    sets = [picture_records(0, 30, 1)]
    with pytest.raises(NocturneInputError) as caught:
        sleep(nn.Linear(192, 4), sets, sets, preset("nap"))
    assert caught.value.code == "checkpoint.family"
    for word in ("mlp, cnn, vision", "register(spec)", "consolidation.wrap("):
        assert word in caught.value.message


# ---------------------------------------------------------------- a family of one's own


class Toy(nn.Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.nocturne_family, self.nocturne_config = "toy", dict(config)
        self.inside, self.out = nn.Linear(192, config["width"]), nn.Linear(config["width"], 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.out(torch.sin(self.inside(x)))
        return logits


class ToyAdapter:
    @staticmethod
    def build(config: Mapping[str, Any], seed: int) -> Toy:
        torch.manual_seed(seed)
        return Toy(config)

    @staticmethod
    def blocks(model: nn.Module) -> list[nn.Module]:
        return [model.get_submodule("inside")]

    @staticmethod
    def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
        return {"inside.weight": model.get_parameter("inside.weight")}


class ToySpec:
    name, title, adapter = "toy", "Sine net", ToyAdapter

    def __init__(self) -> None:
        self.limits = {"width": (1, 99)}
        self.fields: list[dict[str, Any]] = []

    def validate_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        return {"width": int(config["width"])}

    def expected_shapes(self, config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        w = config["width"]
        return {"inside.weight": (w, 192), "inside.bias": (w,), "out.weight": (4, w), "out.bias": (4,)}

    def infer_config(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any] | None:
        return (
            {"width": shapes["out.weight"][1]}
            if set(shapes) == set(self.expected_shapes({"width": 1}))
            else None
        )

    def input_width(self, config: Mapping[str, Any]) -> int:
        return 192

    def outputs(self, config: Mapping[str, Any]) -> int:
        return 4


@pytest.fixture
def toy() -> Iterator[ToySpec]:
    spec = ToySpec()
    register(spec)
    yield spec
    del FAMILIES["toy"]


def test_a_registered_family_is_built_saved_loaded_and_slept(toy: ToySpec, tmp_path: Path) -> None:
    register(toy)  # a notebook's cell is run twice
    assert family_spec("toy") is toy
    model = new_model("toy", {"width": 9}, 3)
    save_model(model, tmp_path / "m")
    again = load_model(tmp_path / "m")
    assert bits(again) == bits(model)
    sets = [picture_records(0, 30, 1, logits=True)]
    assert sleep(again, sets, [picture_records(0, 30, 2)], preset("night", **SHORT)).steps > 0
    assert bits(again) != bits(model)


@pytest.mark.parametrize("name", ["mlp", "module", "Has Spaces", ""])
def test_names_that_are_taken_or_none_are_refused(name: str) -> None:
    spec = MlpSpec()
    spec.name = name
    with pytest.raises(NocturneInputError) as caught:
        register(spec)
    assert caught.value.code == "family.name"
    assert FAMILIES["mlp"] is not spec
