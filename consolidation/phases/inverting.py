"""Dreams from a network alone: inputs for which its BatchNorm layers see what they saw in training.

DeepInversion (Yin et al. 2020): from noise, x is moved so that the frozen model answers the wanted label,

    L(x) = CE(f(x), y) + sum_l (|mean_l(x) - running mean_l| + |var_l(x) - running var_l|)
           + TOTAL_VARIATION tv(x) + SQUARES |x|^2 (pictures only)                    (their eqs. 2 to 4)

over one batch, with Adam. Unlike theirs: the two priors are means over numbers, not sums, so that one weight
fits all sizes; pictures are neither shifted nor mirrored (a mirrored digit is another digit); x is kept
within the range of the memories; there is no competition with a student.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from consolidation.events import Step
from consolidation.families.placing import as_pictures
from consolidation.fit import io_widths
from consolidation.memory.store import Records
from consolidation.objectives.classification import correct, cross_entropy
from consolidation.phases.accumulating import halve, micro_of, out_of_memory
from consolidation.phases.optimizers import AdamW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from consolidation.estimate import Inversion
    from consolidation.recipe import SleepRecipe
    from consolidation.run import Run

RATE = 0.1  # of Adam on the inputs, which are about one standard deviation wide
TOTAL_VARIATION, SQUARES = 0.05, 0.001
LOOKED_AT = 256  # records a set whose range is taken


class Dreams(NamedTuple):
    """`kept` of the `made` dreams that are answered as wanted, as records with logits; None: not one."""

    kept: Records | None
    made: int


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[list[Tensor]]:
    """Inside, each pass appends, for every BatchNorm layer with running statistics, how far the batch's are:
    |mean - running mean| + |var - running var|, Euclidean over channels, with gradients."""
    apart: list[Tensor] = []

    def hook(norm: nn.Module, args: tuple[Any, ...]) -> None:
        h = cast("Tensor", args[0]).transpose(0, 1).flatten(1)  # [channels, everything else]
        layer = cast("_BatchNorm", norm)
        mean, var = cast("Tensor", layer.running_mean), cast("Tensor", layer.running_var)
        apart.append(
            torch.linalg.vector_norm(h.mean(1) - mean)
            + torch.linalg.vector_norm(h.var(1, correction=0) - var)
        )

    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    handles = [norm.register_forward_pre_hook(hook) for norm in norms]
    try:
        yield apart
    finally:
        for handle in handles:
            handle.remove()


def total_variation(pictures: Tensor) -> Tensor:
    """Mean absolute difference of neighbours, down and across; [n, channels, height, width]."""
    steps = [pictures.diff(dim=dim).abs().flatten() for dim in (2, 3)]
    return torch.cat(steps).mean()


def picture_priors(x: Tensor, config: dict[str, Any]) -> Tensor:
    """The weighted priors of records [n, width]; 0 when the model's description names no picture."""
    if "layout" not in config:
        return x.new_zeros(())
    pictures = as_pictures(x, config["input"], config["layout"])
    priors = SQUARES * pictures.square().mean()
    return priors + TOTAL_VARIATION * total_variation(pictures) if min(config["input"][1:]) > 1 else priors


def invert(
    frozen: nn.Module,
    x: Tensor,
    labels: Tensor,
    steps: int,
    bounds: tuple[float, float],
    told: Callable[[Tensor, Tensor], None],
) -> Tensor:
    """x [n, width] after `steps` of Adam. The model, in eval mode, is only read: no gradient is made for its
    weights, and its statistics stay.

    Args:
        labels: int64 [n], the answers wanted. bounds: lowest and highest number of an input.
        told: called after each step with the loss and its cross-entropy, detached.
    """
    x = x.clone().requires_grad_()
    config = cast("dict[str, Any]", frozen.nocturne_config)
    mover = AdamW({"x": x}, RATE)
    for _ in range(steps):
        with batch_statistics(frozen) as apart:
            ce = cross_entropy(frozen(x), labels).mean()
        loss = ce + picture_priors(x, config)
        for distance in apart:
            loss = loss + distance
        [x.grad] = torch.autograd.grad(loss, [x])
        mover.step()
        with torch.no_grad():
            x.clamp_(*bounds)
        told(loss.detach(), ce.detach())
    return x.detach()


def inverted_dreams(
    run: Run, recipe: SleepRecipe, memories: list[Records], frozen: nn.Module, budget: Inversion
) -> Dreams:
    """`budget.batches` batches of dreams, their labels balanced over the classes of the memories.

    Only dreams that the frozen model answers as wanted are kept, with its logits. They live in memory for the
    length of this stage and are never stored: whoever deletes a memory deletes what was dreamt of it.

    Raises:
        Stopped: the stage is done again.
        NocturneInputError: `cycle.out_of_memory`.
    """
    classes = torch.from_numpy(np.unique(np.concatenate([np.asarray(one.y) for one in memories])))
    looked = [records.inputs(slice(0, LOOKED_AT)) for records in memories]
    bounds = min(float(x.min()) for x in looked), max(float(x.max()) for x in looked)
    width, generator = io_widths(run.model)[0], run.generators["dreams"]
    done, xs, ys = 0, [], []

    def told(loss: Tensor, ce: Tensor) -> None:
        nonlocal done
        done += 1
        run.stream.step += 1
        # a step here costs about what one of the replay that follows does
        run.stream.within(done / (budget.steps + budget.replayed))
        if run.stream.heard:
            run.stream.emit(
                Step, stage=run.entry.stage, total_steps=run.total_steps, loss=float(loss), ce=float(ce),
                lr=RATE,
            )  # fmt: skip
        else:
            run.stream.number += 1
        run.check_stop()

    made = 0
    for _ in range(budget.batches):
        size = min(recipe.batch, micro_of(run, recipe.micro_batch) or recipe.batch)
        while True:
            labels = classes[torch.arange(made, made + size) % len(classes)].to(run.device)
            x = torch.randn(size, width, generator=generator).to(run.device)
            try:
                xs.append(invert(frozen, x, labels, budget.steps // budget.batches, bounds, told))
                break
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
            halve(run, recipe.micro_batch, size, run.entry.stage)
            size = micro_of(run, recipe.micro_batch)
        ys.append(labels)
        made += size
    run.stream.rest()
    with torch.no_grad():
        zs = [frozen(x) for x in xs]
    x, y, z = torch.cat(xs), torch.cat(ys), torch.cat(zs)
    keep = correct(z, y) & torch.isfinite(x).all(1)
    if not bool(keep.any()):
        return Dreams(None, made)
    x_kept, y_kept, z_kept = (part[keep].cpu().numpy() for part in (x, y, z))
    return Dreams(Records(task="dreams", x=x_kept, y=y_kept, z=z_kept, classes=run.outputs), made)
