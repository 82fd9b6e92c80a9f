"""What the engine asks of a family's model; one class a family, found through the registry."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from consolidation.errors import NocturneInputError
from consolidation.families.registry import family_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn


class Adapter(Protocol):
    """Static functions on a family's models; a model is float32 and lives on one device.

    A model whose parameters have other names than the tensors of its file carries `nocturne_names`,
    {parameter: tensor of the file}, of those that differ.

    An adapter may add `output_dim(name) -> int`, the dimension of a prunable weight that counts its outputs;
    without it that is the first.
    """

    @staticmethod
    def build(config: Mapping[str, Any], seed: int) -> nn.Module:
        """A new model of a validated config, marked with nocturne_family and nocturne_config."""

    @staticmethod
    def blocks(model: nn.Module) -> list[nn.Module]:
        """Modules whose output is a hidden state [batch, ...], in order: noise and mixing act there."""

    @staticmethod
    def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
        """Weights that may be pruned and strengthened; no 1-D ones, norms, embeddings, heads.

        The first dimension counts outputs: a Linear's [out, in], a convolution's [out, in, height, width];
        where it is another, `output_dim` tells.
        """


def adapter_class(family: str | None) -> type[Adapter]:
    """The adapter of a family.

    Raises:
        NocturneInputError: `checkpoint.family`; `checkpoint.family_not_yet`: nothing computes with it.
    """
    adapter = family_spec(family).adapter
    if adapter is None:
        raise NocturneInputError(
            "checkpoint.family_not_yet",
            f"Checkpoints of the family {family} are kept, checked and taken home; Nocturne cannot train "
            "them, score them or put them to sleep yet. Choose a checkpoint of another family.",
        )
    if not isinstance(adapter, str):
        return cast("type[Adapter]", adapter)
    module, _, name = adapter.partition(":")
    return cast("type[Adapter]", getattr(import_module(module), name))


def adapter_of(model: nn.Module) -> type[Adapter]:
    """The adapter of a model that `load_model`, `new_model` or `wrap` made."""
    return adapter_class(getattr(model, "nocturne_family", None))
