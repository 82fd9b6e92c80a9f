"""The one optimiser loop, used awake and asleep: clipping, averaging, probes, stop, snapshots."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor

from consolidation.errors import NocturneInputError
from consolidation.events import Decision, Step
from consolidation.fit import vocabulary_of
from consolidation.metrics import SHARES_OF_BEST
from consolidation.phases.accumulating import Terms, descend
from consolidation.phases.optimizers import clear_gradients, clip_gradients, gradient_norm, make_optimizer
from consolidation.probes import mean
from consolidation.snapshot import Undo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from consolidation.memory.sampling import Batch, Sampler
    from consolidation.run import Run

__all__ = ["LoopPlan", "Terms", "Training"]
# Probes of a loop: the points of its chart. Where a probe is dear there are fewer, so that they cost no more
# than such a share of the steps between them, but never under FEWEST.
PROBES, FEWEST, PROBES_SHARE = 20, 6, 0.5
FORWARD_AND_BACK = 3  # in units of a pass forward
DEAR = 2 * 10**9  # weights of the model times records, or tokens, of a probe


def probe_every(steps: int, batch: float, probe: int, dear: bool) -> int:
    """Steps from one probe to the next.

    Args:
        batch: values that a step reads. probe: those that a probe reads, forward only.
    """
    every = _twentieth(steps)
    if not dear or not batch:
        return every
    paid = math.ceil(probe / (PROBES_SHARE * FORWARD_AND_BACK * batch))
    return max(every, min(paid, steps // FEWEST))


def _twentieth(steps: int) -> int:
    return max(1, math.ceil(steps / PROBES))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopPlan:
    """`average` is the last share of the steps whose weights are averaged; `min_gain` 0: no early stop;
    `micro` records go through the model at a time, 0 for the whole batch."""

    steps: int
    lr: float
    optimizer: str
    momentum: float
    clip: float
    noise: float | None = None
    average: float = 0.0
    min_gain: float = 0.0
    micro: int = 0


class Training:
    """A loop over drawn batches. On a numerical fault the weights from before the loop are put back.

    Args:
        loss: what one batch costs, a mean over its records.
        masks: {parameter: bool}, true where a weight must stay zero.
        resumable: whether snapshots are taken inside the loop; else a stage cut short is done again.
        extra: weights that the loss trains beside the model's and that live as long as the loop does.
    """

    def __init__(
        self,
        run: Run,
        plan: LoopPlan,
        sampler: Sampler,
        loss: Callable[[Batch], Terms],
        masks: dict[str, Tensor] | None = None,
        resumable: bool = True,
        extra: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.resumable = resumable
        self.run, self.plan, self.sampler, self.loss = run, plan, sampler, loss
        self.masks = masks or {}
        # a sampler that draws by loss is told what each record of its last draw cost
        self.observe: Callable[[Tensor], None] | None = getattr(sampler, "observe", None)
        self.weights: dict[str, Tensor] = dict(run.model.named_parameters())
        self.extra = {f"extra/{name}": weight for name, weight in (extra or {}).items()}
        self.moved = self.weights | self.extra
        self.optimizer = make_optimizer(self.moved, plan.optimizer, plan.lr, plan.momentum)
        self.done = 0
        self.watched: list[float] = []
        self.averaged: dict[str, Tensor] = {}
        self.averaged_steps = 0
        # an adapter's base is among the buffers
        size = sum(tensor.numel() for tensor in (*run.model.parameters(), *run.model.buffers()))
        read = run.probes.values if vocabulary_of(run.model) is not None else run.probes.records
        dear = read * size > DEAR
        self.chunk = probe_every(plan.steps, sampler.values, run.probes.values, dear)
        self.average_from = math.ceil(plan.steps * (1 - plan.average)) if plan.average > 0 else plan.steps
        self.undo = Undo(run.folder, f"{run.entry.stage.replace(' ', '-').lower()}-{run.entry.round}")
        # buffers too: while awake a norm's running statistics move with the weights; what no state_dict has
        # (an adapter's base) never moves
        stored = run.model.state_dict().keys()
        buffers = {name: tensor for name, tensor in run.model.named_buffers() if name in stored}
        self.before: dict[str, Tensor] = self.weights | buffers

    # ------------------------------------------------------------ state

    def tensors(self) -> dict[str, Tensor]:
        found = {f"average/{name}": tensor for name, tensor in self.averaged.items()}
        found |= {f"optimizer/{name}": tensor for name, tensor in self.optimizer.tensors().items()}
        return found | self.extra

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
        if self.averaged_steps:
            self.averaged = {name: tensors[f"average/{name}"].to(self.run.device) for name in self.weights}
        with torch.no_grad():
            for name, weight in self.extra.items():
                weight.copy_(tensors[name])
        if self.averaged_steps and self.done < self.average_from:
            # the plan is longer now: the average is that of its own last share
            self.averaged, self.averaged_steps = {}, 0
        moved = {n.removeprefix("optimizer/"): t for n, t in tensors.items() if n.startswith("optimizer/")}
        self.optimizer.load(moved, int(state["count"]))

    # ------------------------------------------------------------ the loop

    def go(self) -> int:
        """Runs to the end; returns the number of steps done in all.

        Raises:
            Stopped: after a snapshot.
            NocturneInputError: `cycle.diverged`, `cycle.out_of_memory`; the weights are as before the loop.
        """
        pending = self.run.take_pending()
        if pending is not None:
            self.load_state_dict(pending[1], pending[0])
        else:
            self.undo.keep(self.before)
        if not self.undo.path.exists():  # only the snapshot was carried over to this folder
            self.undo.keep(self.before)
        while self.done < self.plan.steps:
            self.run.check_stop(self if self.resumable else None)
            self._step()
            if self.done % self.chunk == 0 and self._enough():
                break
            if self.resumable and self.run.snapshot_due(self.done):
                self.run.snapshot(self)
        self._require_finite()
        if self.averaged_steps:
            with torch.no_grad():
                for name, weight in self.weights.items():
                    weight.copy_(self.averaged[name])
            self._require_finite()
        clear_gradients(self.moved)  # or they would lie there, as large as the model, through later stages
        self.undo.forget()
        return self.done

    def advance(self, steps: int) -> None:
        """`steps` steps and nothing around them, for whoever times or tries the loop."""
        for _ in range(steps):
            self._step()

    def _step(self) -> None:
        run, plan = self.run, self.plan
        batch = self.sampler.next(run.outputs, run.device)
        terms = self._descend(batch)
        if self.observe is not None and terms.each is not None:
            self.observe(terms.each)
        # all that Python wants to know, fetched at once: on a GPU every fetch waits for the device
        told = torch.stack([terms.loss, gradient_norm(self.moved), *terms.parts.values()]).tolist()
        loss, size = told[0], told[1]
        if not math.isfinite(loss):
            self._diverged(f"the loss stopped being a finite number at step {self.done + 1}", loss)
        if not math.isfinite(size):
            self._diverged(f"the gradient's norm stopped being a finite number at step {self.done + 1}", size)
        clip_gradients(self.moved, size, plan.clip)
        self.optimizer.step()
        if self.masks:
            with torch.no_grad():
                for name, mask in self.masks.items():
                    self.weights[name].masked_fill_(mask, 0.0)
        if self.done >= self.average_from:
            self._average()
        self.done += 1
        run.stream.step += 1
        run.stream.within(self.done / plan.steps)
        if run.stream.heard:
            parts = dict(zip(terms.parts, told[2:], strict=True))
            run.stream.emit(
                Step,
                stage=run.entry.stage,
                total_steps=run.total_steps,
                loss=loss,
                grad_norm=size,
                lr=plan.lr,
                noise=plan.noise,
                **parts,
            )
        else:
            run.stream.number += 1

    def _descend(self, batch: Batch) -> Terms:
        try:
            return descend(self.run, self.loss, batch, self.moved, self.plan.micro)
        except NocturneInputError:
            self._put_back()
            raise

    @torch.no_grad()
    def _average(self) -> None:
        self.averaged_steps += 1
        if self.averaged:
            torch._foreach_lerp_(
                list(self.averaged.values()), list(self.weights.values()), 1 / self.averaged_steps
            )
        else:
            self.averaged = {name: weight.detach().clone() for name, weight in self.weights.items()}

    def _enough(self) -> bool:
        """Probes watch, with the averaged weights once there are any; true when the gain has dried up.

        Stopping waits until averaging has begun, because the average is worth more than the steps saved, and
        for half of the steps: a few hundred answers go up and down by themselves.
        """
        if self.run.probes.borrowed:
            return False
        found = self.run.probe_watch("during", self.averaged or None)
        if not found or self.plan.min_gain <= 0:
            return False
        self.watched.append(mean(found))
        begun = self.done - self.average_from if self.plan.average > 0 else self.done
        few = self.chunk / _twentieth(self.plan.steps)  # where probes are few, each stands for so many
        chunks = 3 if few == 1 else 2  # or there were none left
        if begun < chunks * self.chunk or not self.plan.steps / 2 <= self.done < self.plan.steps:
            return False
        a, b, c = self.watched[-3:]
        shares = self.run.objective.name in SHARES_OF_BEST
        gain = few * self.plan.min_gain
        least, of = gain * (a if shares else 1.0), " of the score" if shares else ""
        if b - a >= least or c - b >= least:
            return False
        self.run.stream.emit(
            Decision,
            name="early_stop",
            kept=True,
            reason=f"Two chunks in turn gained less than {gain:g}{of} on watch; stopped after {self.done} of "
            f"{self.plan.steps} steps.",
            detail={"steps": self.done, "planned": self.plan.steps, "gains": [b - a, c - b]},
        )
        return True

    def _require_finite(self) -> None:
        """Weights can leave the finite numbers by the last step, or by the average of two huge ones."""
        for name, weight in self.before.items():
            if not bool(torch.isfinite(weight).all()):
                wrong = float(weight.detach()[~torch.isfinite(weight)][0])
                self._diverged(f"tensor {name} stopped being a finite number by step {self.done}", wrong)

    def _put_back(self) -> None:
        self.undo.restore(self.before)
        self.undo.forget()

    def _diverged(self, what: str, value: float) -> NoReturn:
        self._put_back()
        plan = self.plan
        clip = "clip the gradient" if plan.clip == 0 else f"clip the gradient below {plan.clip:g}"
        raise NocturneInputError(
            "cycle.diverged",
            f"In {self.run.entry.stage} {what} of {plan.steps} (it is {value:g}); the weights from before "
            f"this stage were put back. Take a lower learning rate than {plan.lr:g}, or {clip}.",
            step=self.done + 1,
            lr=plan.lr,
        )
