"""What a model is trained and scored by: `objective_of(model)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from consolidation.families.registry import family_objective
from consolidation.objectives.classification import Classification
from consolidation.objectives.extractive_qa import ExtractiveQa
from consolidation.objectives.language import Language

if TYPE_CHECKING:
    from torch import nn

    from consolidation.objectives.objective import Objective

_OBJECTIVES: Final = {one.name: one for one in (Classification(), Language(), ExtractiveQa())}


def objective_of(model: nn.Module) -> Objective:
    """The objective of a model that `load_model`, `new_model` or `wrap` made; of others, classification."""
    family = getattr(model, "nocturne_family", None)
    if family is None:
        return _OBJECTIVES["classification"]
    return _OBJECTIVES[family_objective(family, cast("dict[str, Any]", model.nocturne_config))]
