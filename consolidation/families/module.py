"""Any PyTorch module that maps records [n, width] to logits [n, classes], taken as it is.

model = wrap(my_net, 784, 10)
report = sleep(model, memories, probes, preset("night"))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

import torch
from torch import Tensor, nn

from consolidation.errors import NocturneInputError, shorten
from consolidation.families.registry import family_spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Net = TypeVar("Net", bound=nn.Module)
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def wrap(
    module: Net,
    input_width: int,
    classes: int,
    *,
    blocks: Iterable[nn.Module] | None = None,
    prunable: Iterable[str] | None = None,
) -> Net:
    """Marks `module`, in place, as a model that can wake and sleep; returns it. It has no file format.

    Args:
        input_width: numbers per record; the module takes float32 [n, input_width].
        classes: the module gives logits [n, classes].
        blocks: modules whose outputs are hidden states, for noise and mixing. Default: the children (of the
            first container that has several) but the last, as far as they give one float tensor [n, ...].
        prunable: names of parameters [outputs, ...] that may be pruned and strengthened. Default: the weights
            of the Linear and convolution layers but the last one that is used.

    Raises:
        NocturneInputError: `family.module` when the module does not map [n, input_width] to [n, classes], or
            a name is none of its weights'.
    """
    config = family_spec("module").validate_config({"input_width": input_width, "classes": classes})
    candidates = _children(module)
    order, states = _walk(module, candidates, config)
    parameters = dict(module.named_parameters())
    if prunable is None:
        prunable = _layer_weights(module, parameters, order)
    chosen = list(prunable)
    for name in chosen:
        if name not in parameters or parameters[name].dim() < 2:
            _refuse(f"'{shorten(name)}' is no weight of this module with two dimensions or more")
    marks: dict[str, Any] = {
        "nocturne_family": "module",
        "nocturne_config": config,
        "nocturne_dtypes": {},
        "nocturne_blocks": list(blocks) if blocks is not None else states,
        "nocturne_prunable": chosen,
    }
    for name, value in marks.items():
        setattr(module, name, value)
    return module


def _refuse(what: str) -> NoReturn:
    raise NocturneInputError("family.module", f"{what}. Change the module, or say what it takes and gives.")


def _children(module: nn.Module) -> list[nn.Module]:
    children = list(module.children())
    while len(children) == 1:
        children = list(children[0].children())
    return children[:-1]


def _walk(
    module: nn.Module, candidates: list[nn.Module], config: Mapping[str, int]
) -> tuple[list[nn.Module], list[nn.Module]]:
    """Layers in the order of their use, and the candidates that give hidden states, from one dry pass."""
    order: list[nn.Module] = []
    states: list[nn.Module] = []

    def used(layer: nn.Module, _args: Any, _output: Any) -> None:
        order.append(layer)

    def state(block: nn.Module, _args: Any, h: Any) -> None:
        if isinstance(h, Tensor) and h.is_floating_point() and h.dim() > 1 and len(h) == 2:
            states.append(block)

    handles = [m.register_forward_hook(used) for m in module.modules() if isinstance(m, LAYERS)]
    handles += [block.register_forward_hook(state) for block in candidates]
    place = next((p.device for p in module.parameters()), torch.device("cpu"))
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            logits = module(torch.zeros(2, config["input_width"], device=place))
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        _refuse(f"The module does not take float32 [n, {config['input_width']}] ({shorten(error)})")
    finally:
        module.train(training)
        for handle in handles:
            handle.remove()
    if not isinstance(logits, Tensor) or tuple(logits.shape) != (2, config["classes"]):
        got = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        _refuse(f"For 2 records the module gives {got}, not logits [2, {config['classes']}]")
    return order, states


def _layer_weights(
    module: nn.Module, parameters: Mapping[str, nn.Parameter], order: list[nn.Module]
) -> list[str]:
    names = {id(parameter): name for name, parameter in parameters.items()}
    owners: dict[int, int] = {}
    for part in module.modules():
        for parameter in part._parameters.values():
            owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    head = cast("Any", order[-1]).weight if order else None
    weights = [cast("Any", layer).weight for layer in dict.fromkeys(order)]
    # a weight that two layers share is never pruned
    return [names[id(w)] for w in weights if w is not head and owners.get(id(w)) == 1 and id(w) in names]


class ModuleAdapter:
    """See `adapter.Adapter`."""

    @staticmethod
    def build(config: Mapping[str, Any], seed: int) -> nn.Module:
        """Always refuses: a module is wrapped, not built. Raises NocturneInputError (`checkpoint.family`)."""
        raise NocturneInputError(
            "checkpoint.family",
            "A file of a wrapped PyTorch module holds its tensors only. Build the module yourself, load them "
            "into it, and wrap it again.",
        )

    @staticmethod
    def blocks(model: nn.Module) -> list[nn.Module]:
        return list(cast("Any", model).nocturne_blocks)

    @staticmethod
    def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
        return {name: model.get_parameter(name) for name in cast("Any", model).nocturne_prunable}
