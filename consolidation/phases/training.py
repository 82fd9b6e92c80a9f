"""The one optimiser loop, used awake and asleep: clipping, averaging, probes, stop, snapshots."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from consolidation.errors import NocturneInputError
from consolidation.events import Decision, Step
from consolidation.phases.optimizers import clear_gradients, make_optimizer
from consolidation.probes import mean
from consolidation.snapshot import Undo

if TYPE_CHECKING:
    from collections.abc import Callable

    from consolidation.memory.sampling import Batch, Sampler
    from consolidation.run import Run

PROBES = 20


class Terms(NamedTuple):
    """The loss to descend, and its parts before weighting, for the charts."""

    loss: Tensor
    parts: dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopPlan:
    """`average` is the last share of the steps whose weights are averaged; `min_gain` 0: no early stop."""

    steps: int
    lr: float
    optimizer: str
    momentum: float
    clip: float
    noise: float | None = None
    average: float = 0.0
    min_gain: float = 0.0


class Training:
    """A loop over drawn batches. On a non-finite loss the weights from before the loop are put back.

    Args:
        loss: what one batch costs.
        masks: {parameter: bool}, true where a weight must stay zero.
        resumable: whether snapshots are taken inside the loop; else a stage cut short is done again.
    """

    def __init__(
        self,
        run: Run,
        plan: LoopPlan,
        sampler: Sampler,
        loss: Callable[[Batch], Terms],
        masks: dict[str, Tensor] | None = None,
        resumable: bool = True,
    ) -> None:
        self.resumable = resumable
        self.run, self.plan, self.sampler, self.loss = run, plan, sampler, loss
        self.masks = masks or {}
        self.weights = dict(run.model.named_parameters())
        self.optimizer = make_optimizer(self.weights, plan.optimizer, plan.lr, plan.momentum)
        self.done = 0
        self.watched: list[float] = []
        self.averaged: dict[str, Tensor] = {}
        self.averaged_steps = 0
        # the chart's points: one every 1/20
        self.chunk = max(1, math.ceil(plan.steps / PROBES))
        self.average_from = math.ceil(plan.steps * (1 - plan.average)) if plan.average > 0 else plan.steps
        self.undo = Undo(run.folder, f"{run.entry.stage.replace(' ', '-').lower()}-{run.entry.round}")

    # ------------------------------------------------------------ state

    def tensors(self) -> dict[str, Tensor]:
        found = {f"average/{name}": tensor for name, tensor in self.averaged.items()}
        found |= {f"optimizer/{name}": tensor for name, tensor in self.optimizer.tensors().items()}
        return found

    def state_dict(self) -> dict[str, Any]:
        return {
            "done": self.done,
            "count": self.optimizer.count,
            "watched": self.watched,
            "averaged_steps": self.averaged_steps,
            "sampler": self.sampler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        self.done, self.watched = int(state["done"]), list(state["watched"])
        self.averaged_steps = int(state["averaged_steps"])
        self.sampler.load_state_dict(state["sampler"])
        for name, tensor in tensors.items():
            if name.startswith("average/"):
                self.averaged[name.removeprefix("average/")] = tensor.to(self.run.device)
        moved = {n.removeprefix("optimizer/"): t for n, t in tensors.items() if n.startswith("optimizer/")}
        self.optimizer.load(moved, int(state["count"]))

    # ------------------------------------------------------------ the loop

    def go(self) -> int:
        """Runs to the end; returns the number of steps done in all.

        Raises:
            Stopped: after a snapshot.
            NocturneInputError: `cycle.diverged`.
        """
        pending = self.run.take_pending()
        if pending is not None:
            self.load_state_dict(pending[1], pending[0])
        else:
            self.undo.keep(self.weights)
        if not self.undo.path.exists():  # only the snapshot was carried over to this folder
            self.undo.keep(self.weights)
        while self.done < self.plan.steps:
            self.run.check_stop(self if self.resumable else None)
            self._step()
            if self.done % self.chunk == 0 and self._enough():
                break
            if self.resumable and self.run.snapshot_due(self.done):
                self.run.snapshot(self)
        if self.averaged_steps:
            with torch.no_grad():
                for name, weight in self.weights.items():
                    weight.copy_(self.averaged[name])
        self.undo.forget()
        return self.done

    def _step(self) -> None:
        run, plan = self.run, self.plan
        clear_gradients(self.weights)
        terms = self.loss(self.sampler.next(run.outputs, run.device))
        terms.loss.backward()  # type: ignore[no-untyped-call]
        norm = clip_grad_norm_(self.weights.values(), plan.clip or math.inf)
        loss, size = float(terms.loss.detach()), float(norm)
        if not math.isfinite(loss) or not math.isfinite(size):
            self._diverged()
        self.optimizer.step()
        with torch.no_grad():
            for name, mask in self.masks.items():
                self.weights[name].masked_fill_(mask, 0.0)
        if self.done >= self.average_from:
            self._average()
        self.done += 1
        run.stream.step += 1
        run.stream.within(self.done / plan.steps)
        run.stream.emit(
            Step,
            stage=run.entry.stage,
            total_steps=run.total_steps,
            loss=loss,
            grad_norm=size,
            lr=plan.lr,
            noise=plan.noise,
            **{name: float(part.detach()) for name, part in terms.parts.items()},
        )

    def _average(self) -> None:
        self.averaged_steps += 1
        with torch.no_grad():
            for name, weight in self.weights.items():
                if name in self.averaged:
                    self.averaged[name].lerp_(weight, 1 / self.averaged_steps)
                else:
                    self.averaged[name] = weight.detach().clone()

    def _enough(self) -> bool:
        """Probes watch, with the averaged weights once there are any; true when the gain has dried up.

        Stopping waits until averaging has begun, because the average is worth more than the steps saved.
        """
        found = self.run.probe_watch("during", self.averaged or None)
        if not found or self.plan.min_gain <= 0:
            return False
        self.watched.append(mean(found))
        begun = self.done - self.average_from if self.plan.average > 0 else self.done
        if begun < 3 * self.chunk or self.done >= self.plan.steps:
            return False
        a, b, c = self.watched[-3:]
        if b - a >= self.plan.min_gain or c - b >= self.plan.min_gain:
            return False
        self.run.stream.emit(
            Decision,
            name="early_stop",
            kept=True,
            reason=f"Two chunks in turn gained less than {self.plan.min_gain:g} on watch; stopped after "
            f"{self.done} of {self.plan.steps} steps.",
            detail={"steps": self.done, "planned": self.plan.steps, "gains": [b - a, c - b]},
        )
        return True

    def _diverged(self) -> None:
        self.undo.restore(self.weights)
        self.undo.forget()
        raise NocturneInputError(
            "cycle.diverged",
            f"The loss stopped being a finite number at step {self.done + 1} of {self.plan.steps}; the "
            f"weights from before this stage were put back. Take a lower learning rate "
            f"than {self.plan.lr:g}, or clip the gradient.",
            step=self.done + 1,
            lr=self.plan.lr,
        )
