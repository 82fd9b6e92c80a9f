"""What all stages of one run share: the model, the clock of events, `stop`, random streams and snapshots."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from consolidation.answers import Answers, pack, scores, unpack
from consolidation.changes import MICRO_BATCH, NO_CHANGES, Changes
from consolidation.errors import NocturneInputError, Stopped
from consolidation.events import Listener, Probe, SnapshotWritten, StageEnded, StageStarted, Stream
from consolidation.families.adapter import adapter_of
from consolidation.fit import io_widths
from consolidation.objectives import objective_of
from consolidation.randomness import OwnStream
from consolidation.snapshot import environment, read_snapshot, unlike, write_snapshot

if TYPE_CHECKING:
    from consolidation.probes import Probes
    from consolidation.recipe import SleepRecipe, WakeRecipe

Stop = Callable[[], str | None]


class Entry(NamedTuple):
    """One stage of the plan; `weight` is its share of the progress."""

    stage: str
    round: int
    weight: float


class Resumable(Protocol):
    """A loop in the middle of a stage."""

    def tensors(self) -> dict[str, Tensor]: ...
    def state_dict(self) -> dict[str, Any]: ...


class Run:
    """A run through a plan of stages, resumable at every optimiser step.

    Attributes:
        facts: JSON values that later stages need (before-scores, the learning rate found, decisions).
        kept: tensors that later stages need (the Fisher).
        generators: one random stream a purpose, so that one more draw here changes nothing there.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        recipe: SleepRecipe | WakeRecipe | None,
        probes: Probes,
        plan: list[Entry],
        identity: str,
        workdir: str | Path | None,
        stop: Stop | None,
        device: torch.device,
        on_event: Listener | None,
        changes: Changes = NO_CHANGES,
    ) -> None:
        self.model, self.adapter = model, adapter_of(model)
        self.outputs, self.objective = io_widths(model)[1], objective_of(model)
        self.recipe, self.probes, self.plan, self.device = recipe, probes, plan, device
        self.stream = Stream(on_event, [entry.weight for entry in plan])
        self.facts: dict[str, Any] = {}
        self.kept: dict[str, Tensor] = {}
        self.total_steps = 0
        self.changes = changes
        self._snapshots = 0
        # watch scores of the model as it stands, where they are known; one proposal tells them to the next
        self.standing: dict[str, float] | None = None
        seed = recipe.seed if recipe else 0
        cpu = torch.device("cpu")
        streams = {"noise": device, "labels": device, "dreams": cpu}
        self.generators = {
            name: torch.Generator(device=where).manual_seed((seed << 8) + index)
            for index, (name, where) in enumerate(streams.items())
        }
        self._own_stream = OwnStream((seed << 8) + 255, device)
        self._identity, self._stop = identity, stop
        self._scratch = tempfile.TemporaryDirectory(prefix="nocturne-") if workdir is None else None
        self.folder = Path(self._scratch.name if self._scratch else workdir or "")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.durable = workdir is not None
        self._start = 0
        self._pending: tuple[dict[str, Tensor], dict[str, Any]] | None = None
        self._last_snapshot = time.monotonic()

    def __enter__(self) -> Run:
        # each part's own: a norm may be frozen in a model that trains
        self._modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        self._own_stream.begin()
        if self.durable:
            self._resume()
        if self.changes.micro_batch:
            known = int(self.facts.get(MICRO_BATCH, self.changes.micro_batch))
            self.facts[MICRO_BATCH] = min(known, self.changes.micro_batch)
        return self

    def __exit__(self, *_: object) -> None:
        self._own_stream.end()
        for module, training in self._modes:
            module.training = training
        for parameter in self.model.parameters():
            parameter.grad = None
        if self._scratch:
            self._scratch.cleanup()

    # ------------------------------------------------------------ stages

    def stages(self) -> Iterator[Entry]:
        """The entries still to do; a snapshot stands before each, so one cut short is done again."""
        for index in range(self._start, len(self.plan)):
            entry = self.plan[index]
            self.stream.enter(index)
            self.standing = None
            if self._pending is None:
                self.snapshot()
            self.check_stop()
            began = self.stream.seconds
            self.stream.emit(StageStarted, stage=entry.stage, round=entry.round)
            yield entry
            seconds = round(self.stream.seconds - began, 6)
            self.stream.within(1.0)
            self.stream.emit(StageEnded, stage=entry.stage, round=entry.round, seconds=seconds)

    @property
    def entry(self) -> Entry:
        return self.plan[self.stream.index]

    def check_stop(self, loop: Resumable | None = None) -> None:
        """Raises Stopped when the caller asks; between stages and in loops, a snapshot is durable before."""
        reason = self._stop() if self._stop else None
        if reason:
            if loop is not None:
                self.snapshot(loop)
            raise Stopped(reason)

    # ------------------------------------------------------------ probes

    def probe_watch(self, when: str, weights: dict[str, Tensor] | None = None) -> dict[str, float]:
        """Scores on watch, and the event; borrowed from the memories they are no probe: they make no event,
        and only proposals ask for them."""
        if self.probes.borrowed and when != "during":
            return {}
        found = scores(self.probes.watch(self.model, weights))
        if found and not self.probes.borrowed:
            self.stream.emit(Probe, split="watch", when=when, scores=found)
        return found

    def probe_proof(self, when: str) -> dict[str, Answers]:
        """Answers on proof, and the event; kept in `facts` under `when`."""
        answers = self.probes.proof(self.model)
        if answers:
            self.stream.emit(Probe, split="proof", when=when, scores=scores(answers))
        self.facts[when] = {task: [len(answers[task]), data.hex()] for task, data in pack(answers).items()}
        return answers

    def answers(self, when: str) -> dict[str, Answers]:
        """Answers on proof that `probe_proof` kept."""
        kept: dict[str, list[Any]] = self.facts[when]
        packed = {task: bytes.fromhex(item[1]) for task, item in kept.items()}
        return unpack(packed, {task: int(item[0]) for task, item in kept.items()})

    # ------------------------------------------------------------ snapshots

    def snapshot(self, loop: Resumable | None = None) -> None:
        """Writes all state; without a workdir there is nothing to write to."""
        if not self.durable:
            return
        tensors = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"random/{name}": g.get_state() for name, g in self.generators.items()}
        tensors |= {f"stream/{name}": state for name, state in self._own_stream.tensors().items()}
        tensors |= {f"kept/{name}": tensor for name, tensor in self.kept.items()}
        if loop is not None:
            tensors |= {f"loop/{name}": tensor for name, tensor in loop.tensors().items()}
        self._snapshots += 1
        state = {
            "identity": self._identity,
            "number": self._snapshots,
            "environment": environment(),
            "index": self.stream.index,
            "stream": self.stream.state_dict(),
            "facts": self.facts,
            "loop": loop.state_dict() if loop is not None else None,
        }
        path = write_snapshot(self.folder, tensors, state)
        self._last_snapshot = time.monotonic()
        self.stream.emit(SnapshotWritten, path=path.name, stage=self.entry.stage, number=self._snapshots)

    def snapshot_due(self, step: int) -> bool:
        """By the recipe's steps or seconds. When it happens has no influence on the weights."""
        if self.recipe is None or not self.durable:
            return False
        by_steps = self.recipe.snapshot_every_steps
        if by_steps and step % by_steps == 0:
            return True
        seconds = self.recipe.snapshot_every_s
        return seconds > 0 and time.monotonic() - self._last_snapshot >= seconds

    def _resume(self) -> None:
        found = read_snapshot(self.folder)
        if found is None:
            return
        tensors, state = found
        if state["identity"] != self._identity:
            other = " and ".join(unlike(self._identity, str(state["identity"])))
            self.stream.log(
                "warning",
                f"The snapshot in the work folder is of another run: its {other} differ from this one's. It "
                "is not used; starting anew.",
            )
            return
        self.model.load_state_dict(_part(tensors, "model/"))
        for name, generator in self.generators.items():
            generator.set_state(tensors[f"random/{name}"])
        self._own_stream.load(_part(tensors, "stream/"))
        self.kept = {name: tensor.to(self.device) for name, tensor in _part(tensors, "kept/").items()}
        self.facts = state["facts"]
        self.stream.load_state_dict(state["stream"])
        self._start, self._snapshots = int(state["index"]), int(state.get("number", 0))
        self.stream.enter(self._start)
        if state["loop"] is not None:
            self._pending = (_part(tensors, "loop/"), state["loop"])
        self.stream.log("info", f"Resumed from the snapshot at step {self.stream.step}.")
        now, then = environment(), state["environment"]
        if changed := [
            f"{name} {then.get(name)} then, {now[name]} now" for name in now if then.get(name) != now[name]
        ]:
            self.stream.log(
                "warning",
                f"Not the machine that the snapshot was taken on ({'; '.join(changed)}): the last bits may "
                "differ.",
            )

    def take_pending(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The state of the loop that the snapshot was taken in; once, for the loop that goes on."""
        pending, self._pending = self._pending, None
        return pending


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def require_finite(model: nn.Module) -> None:
    """Raises NocturneInputError (`weights.non_finite`)."""
    for name, tensor in model.state_dict().items():
        if not bool(torch.isfinite(tensor).all()):
            raise NocturneInputError(
                "weights.non_finite",
                f"Tensor {name} holds NaN or infinite numbers; a model like that cannot sleep or learn. "
                "Take an earlier checkpoint.",
            )
