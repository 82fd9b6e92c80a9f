"""What a night is given of the model before waking: its weights, and perhaps its significance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consolidation.errors import NocturneInputError
from consolidation.run import require_finite
from consolidation.weights import Fisher

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import Tensor, nn


def same_kind(model: nn.Module, reference: nn.Module | None, device: torch.device) -> nn.Module | None:
    if reference is None:
        return None
    mine = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if mine != {name: tensor.shape for name, tensor in reference.state_dict().items()}:
        raise NocturneInputError(
            "reference.shapes",
            "The model before waking has other tensors than the model that is to sleep. Choose an earlier "
            "checkpoint of the same model.",
        )
    require_finite(reference)
    return reference.to(device).eval()


def fisher_tensors(
    model: nn.Module, fisher: Fisher | Mapping[str, Tensor] | None, device: torch.device
) -> dict[str, Tensor] | None:
    if fisher is None:
        return None
    given = fisher.tensors if isinstance(fisher, Fisher) else fisher
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    if {name: tensor.shape for name, tensor in given.items()} != shapes:
        raise NocturneInputError(
            "fisher.shapes",
            "The stored significance is of another model. Sleep without it, or choose its own.",
        )
    return {name: tensor.to(device) for name, tensor in given.items()}
