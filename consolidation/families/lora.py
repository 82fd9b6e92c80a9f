"""The `lora` family in torch: a base whose weights are frozen, and beside some of its layers B A x (Hu et al.
2021, equation 3).

The base's weights become buffers that are saved nowhere: whatever the engine does to a model's parameters
(gradients, Fisher, averages, snapshots, merging) it does to A, B and the modules that came whole, and to
nothing else. Dropout is off, awake too. The modules are our own; the peft library is not needed.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NoReturn, cast

import torch
from torch import Tensor, nn

from consolidation.errors import NocturneInputError, shorten
from consolidation.families.adapter import adapter_of
from consolidation.families.frozen import freeze, thaw
from consolidation.families.lora_pairs import Pair, misfit, pairs, saved_tensors, scaling, targeted
from consolidation.families.lora_spec import base_of, over

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consolidation.families.described import Shapes


class LoraLayer(nn.Module):
    """h = W x + b + s B A x: one layer of the base with its pair."""

    def __init__(self, layer: nn.Module, pair: Pair, factor: float) -> None:
        super().__init__()
        self.layer, self.factor = layer, factor
        self.lora_A = nn.Linear(pair.inputs, pair.rank, bias=False)
        self.lora_B = nn.Linear(pair.rank, pair.outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return cast("Tensor", self.layer(x) + self.lora_B(self.lora_A(x)) * self.factor)


class LoraModel(nn.Module):
    """What the base takes gives what the base gives, changed by the pairs.

    `nocturne_names` are the tensors of the adapter's file; the base's weights have none.
    """

    def __init__(self, base: nn.Module, config: Mapping[str, Any], shapes: Shapes) -> None:
        super().__init__()
        self.nocturne_family = "lora"
        self.nocturne_config = dict(config)
        self.nocturne_dtypes: dict[str, torch.dtype] = {}
        self.nocturne_names: dict[str, str] = {}
        self.nocturne_frozen = True
        self.base = base
        freeze(base)
        with torch.random.fork_rng(devices=[]):  # what new layers draw is overwritten by what was trained
            for pair in pairs(shapes):
                self._add(pair)
        for name, tensor in saved_tensors(shapes).items():
            module, _, leaf = name.rpartition(".")
            if leaf not in base.get_submodule(module)._buffers:
                raise NocturneInputError(
                    "peft.base",
                    f"The adapter brings {shorten(name)} whole, which its base has not, or which is changed "
                    "by a pair too. Choose the checkpoint that it was trained on.",
                )
            thaw(base.get_submodule(module), leaf)
            self.nocturne_names[f"base.{name}"] = tensor

    def _add(self, pair: Pair) -> None:
        if not targeted(self.nocturne_config, pair.module):
            raise NocturneInputError(
                "peft.pairs",
                f"The file changes {shorten(pair.module)}, which the adapter's config does not name "
                "(target_modules), so PEFT would leave it out. Save the adapter again.",
            )
        layer = LoraLayer(self.base.get_submodule(pair.module), pair, scaling(self.nocturne_config, pair))
        folder, _, leaf = pair.module.rpartition(".")
        setattr(self.base.get_submodule(folder), leaf, layer)
        self.nocturne_names[f"base.{pair.module}.lora_A.weight"] = pair.a
        self.nocturne_names[f"base.{pair.module}.lora_B.weight"] = pair.b

    def forward(self, x: Tensor) -> Tensor:
        return cast("Tensor", self.base(x))

    def beside(self, config: Mapping[str, Any]) -> LoraModel:
        """Another adapter of the same description over the same frozen weights, which are there only once.

        Raises:
            NocturneInputError: `reference.shapes`: it is described otherwise.
        """
        if {**config, "base": None} != {**self.nocturne_config, "base": None}:
            raise NocturneInputError(
                "reference.shapes",
                "The adapter before waking has another rank, scaling or other modules than the one that is "
                "to sleep. Choose an earlier checkpoint of the same adapter.",
            )
        return copy.deepcopy(self, {id(tensor): tensor for tensor in self.buffers()})


class LoraAdapter:
    """See `adapter.Adapter`."""

    caution = (
        "This is a LoRA adapter: pruning and strengthening act on its A and B only, because on single "
        "elements of their product BA neither is defined."
    )

    @staticmethod
    def build(config: Mapping[str, Any], seed: int) -> NoReturn:
        """Always refuses: an adapter lies over a base that is there. Raises NocturneInputError
        (`peft.base`)."""
        raise no_base()

    @staticmethod
    def lay(config: Mapping[str, Any], shapes: Shapes, base: nn.Module) -> LoraModel:
        """An adapter of these tensors over a model, whose weights it takes and freezes.

        Raises:
            NocturneInputError: `peft.base`: it is not the model that the adapter was made for; `peft.pairs`,
                `peft.pattern`, `peft.embedding`.
        """
        whole = over(config, str(base.nocturne_family), cast("Mapping[str, Any]", base.nocturne_config))
        spec, inner = base_of(whole)
        missing = misfit(shapes, spec.adaptable(inner) if spec else {})
        if missing:
            raise NocturneInputError(
                "peft.base",
                f"This adapter changes {missing}, which the base given has not. Choose the checkpoint that "
                "it was trained on.",
            )
        return LoraModel(base, whole, shapes)

    @staticmethod
    def blocks(model: nn.Module) -> list[nn.Module]:
        """Those of the base."""
        base = cast("LoraModel", model).base
        return adapter_of(base).blocks(base)

    @staticmethod
    def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
        """A [rank, inputs] and B [outputs, rank] of every pair; not what came whole, such as a head."""
        ends = (".lora_A.weight", ".lora_B.weight")
        return {name: weight for name, weight in model.named_parameters() if name.endswith(ends)}


def no_base() -> NocturneInputError:
    """`peft.base`, for an adapter that is given without one."""
    return NocturneInputError(
        "peft.base",
        "This is a LoRA adapter, which says only how another model is changed. Give the checkpoint that it "
        "was trained on as its base.",
    )
