"""What the engine asks of a family's model; one class a family, found through the registry."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from consolidation.families.registry import family_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn


class Adapter(Protocol):
    """Static functions on a family's models; a model is float32 and lives on one device."""

    @staticmethod
    def build(config: Mapping[str, Any], seed: int) -> nn.Module:
        """A new model of a validated config, marked with nocturne_family and nocturne_config."""

    @staticmethod
    def blocks(model: nn.Module) -> list[nn.Module]:
        """Modules whose output is a hidden state [batch, features], in order: noise and mixing act there."""

    @staticmethod
    def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
        """Weights [outputs, inputs] that may be pruned and strengthened: no 1-D ones, no head."""


def adapter_class(family: str) -> type[Adapter]:
    """The adapter of a family. Raises NocturneInputError (`checkpoint.family`)."""
    module, _, name = family_spec(family).adapter.partition(":")
    return cast("type[Adapter]", getattr(import_module(module), name))


def adapter_of(model: nn.Module) -> type[Adapter]:
    """The adapter of a model that `load_model` or `new_model` made."""
    return adapter_class(str(getattr(model, "nocturne_family", None)))
