"""Judges a run afterwards: what the database, the store and the operation logs say must fit together."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from tests.chaos.operations import Operation, Violation, check_operations
from webapp.checkpoints.choices import Standing
from webapp.checkpoints.models import Checkpoint
from webapp.core.models import AuditEntry
from webapp.core.store import file_sha256, store_path
from webapp.cycles.choices import TERMINAL, TRANSITIONS, Kind, State
from webapp.cycles.models import Cycle, Transition
from webapp.live.frames import STATE
from webapp.live.models import Frame
from webapp.memories.models import RecordSet
from webapp.projects.models import Project
from webapp.uploads.models import StoredFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

_PUBLISHED: Final = frozenset({State.SUCCEEDED.value, State.REJECTED.value})


def check(operations: Sequence[Operation] = ()) -> list[Violation]:
    """Every promise that the history in the database and in `operations` breaks; none is the wish."""
    found = check_operations(operations)
    for cycle in Cycle.objects.select_related("project").order_by("project", "number"):
        found += _cycle(cycle)
    return [*found, *_noted(operations), *_acknowledged(operations), *_projects(), *_files()]


def _cycle(cycle: Cycle) -> Iterator[Violation]:
    steps = list(Transition.objects.filter(cycle=cycle).order_by("id"))
    frames = list(Frame.objects.filter(cycle=cycle).order_by("seq"))
    for kind, sentence in (
        *_ended(cycle),
        *_chain(cycle, steps),
        *_audit(cycle, steps),
        *_frames(cycle, frames, steps),
        *_points(cycle, frames),
        *_result(cycle),
    ):
        yield Violation(kind, f"{cycle} of {cycle.project} ({cycle.pk})", sentence)


Found = tuple[str, str]


def _ended(cycle: Cycle) -> Iterator[Found]:
    if cycle.state not in TERMINAL:
        yield "lost", f"it was accepted and has not ended; it is {cycle.state}"


def _chain(cycle: Cycle, steps: list[Transition]) -> Iterator[Found]:
    """Legal steps, each from where the last one led, to where the row stands; epochs that only grow."""
    state, epoch = "", 0
    for step in steps:
        if step.from_state != state:
            yield "broken", f"a step from {step.from_state!r}, but it stood at {state!r}"
        if step.to_state not in TRANSITIONS.get(step.from_state, frozenset()):
            yield "broken", f"an illegal step from {step.from_state!r} to {step.to_state!r}"
        if step.epoch < epoch or (step.to_state == State.STARTING and step.epoch == epoch):
            yield "broken", f"epoch {step.epoch} after epoch {epoch} ({step.to_state})"
        state, epoch = step.to_state, step.epoch
    if (state, epoch) != (cycle.state, cycle.epoch):
        told = f"the steps lead to {state} in epoch {epoch}"
        yield "broken", f"{told}, the row says {cycle.state} in epoch {cycle.epoch}"


def _audit(cycle: Cycle, steps: list[Transition]) -> Iterator[Found]:
    """The audit tells the same steps."""
    entries = AuditEntry.objects.filter(object_id=cycle.pk).order_by("id").values_list("detail", flat=True)
    told = [(entry.get("before", ""), entry["state"]) for entry in entries if "state" in entry]
    walked = [(step.from_state, step.to_state) for step in steps]
    if told != walked:
        yield "broken", f"the audit tells {told}, the steps are {walked}"


def _frames(cycle: Cycle, frames: list[Frame], steps: list[Transition]) -> Iterator[Found]:
    """Numbered from 1 without a gap, under epochs that only grow, with every change of state among them."""
    numbers = [frame.seq for frame in frames]
    if numbers != list(range(1, cycle.seq + 1)):
        missing = sorted(set(range(1, cycle.seq + 1)) - set(numbers))
        yield "broken", f"{len(frames)} frames, the last number is {cycle.seq}, missing {missing}"
    epochs = [frame.epoch for frame in frames]
    if epochs != sorted(epochs):
        yield "doubled", "an overtaken epoch wrote a frame"
    states = [frame.payload["state"] for frame in frames if frame.kind == STATE]
    told = [(state["from"], state["to"]) for state in states]
    if told != [(step.from_state, step.to_state) for step in steps]:
        yield "broken", f"the frames tell other changes of state than the steps: {told}"


def _points(cycle: Cycle, frames: list[Frame]) -> Iterator[Found]:
    """Every step once: those past the place from which an attempt goes on are superseded by it."""
    seen: list[int] = []
    for frame in frames:
        if "resume_step" in frame.payload:
            seen = [step for step in seen if step <= frame.payload["resume_step"]]
        if frame.points:
            seen += json.loads(frame.points)["step"]
    if seen != list(range(1, len(seen) + 1)):
        odd = next(index for index, step in enumerate(seen, 1) if step != index)
        yield "broken", f"the metrics go wrong at step {odd}: {seen[odd - 2 : odd + 3]}"
    elif cycle.state in _PUBLISHED and len(seen) != cycle.report.get("steps", 0):
        # Not `total_steps`, which is the plan: a night may find that it is done before.
        yield "broken", f"metrics of {len(seen)} steps, there were {cycle.report.get('steps', 0)}"


def _result(cycle: Cycle) -> Iterator[Found]:
    """One checkpoint for what ended well (a score has none), none for anything else."""
    made = Checkpoint.objects.filter(cycle=cycle).count()
    due = int(cycle.state in _PUBLISHED and cycle.kind != Kind.SCORE)
    if made > 1:
        yield "doubled", f"it has {made} checkpoints"
    elif made < due:
        yield "torn", f"it {cycle.state} and has no checkpoint"
    elif made > due:
        yield "doubled", f"it is {cycle.state} and has a checkpoint all the same"


def _noted(operations: Sequence[Operation]) -> Iterator[Violation]:
    """What a process saw committed is there, under its epoch."""
    frames = {(str(pk), seq): epoch for pk, seq, epoch in Frame.objects.values_list("cycle", "seq", "epoch")}
    ended = {str(cycle.pk): cycle for cycle in Cycle.objects.all()}
    for operation in operations:
        if operation.what == "frame":
            epoch = frames.get((operation.cycle, operation.facts["seq"]))
            if epoch != operation.epoch:
                sentence = f"frame {operation.facts['seq']} of epoch {operation.epoch} is of epoch {epoch}"
                yield Violation("broken", operation.cycle, sentence)
        elif operation.what == "published":
            cycle = ended.get(operation.cycle)
            if cycle is None or cycle.state not in _PUBLISHED or cycle.epoch != operation.epoch:
                yield Violation("lost", operation.cycle, f"epoch {operation.epoch} published, nothing shows")


def _acknowledged(operations: Sequence[Operation]) -> Iterator[Violation]:
    """What a person was told ("acknowledged" lines: verb, cycle and the state in the answer) holds."""
    for operation in operations:
        if operation.what != "acknowledged":
            continue
        verb, answer = operation.facts["verb"], operation.facts["state"]
        cycle = Cycle.objects.filter(pk=operation.cycle).first()
        if cycle is None:
            yield Violation("lost", operation.cycle, f"{verb} was acknowledged; there is no such cycle")
        elif verb == "cycle_cancel" and cycle.state != State.CANCELLED:
            yield Violation("broken", operation.cycle, f"{verb} was acknowledged; it is {cycle.state}")
        elif verb == "cycle_pause":
            yield from _reached(cycle, verb, answer)
    if operations:
        yield from _resumed(operations)


def _reached(cycle: Cycle, verb: str, answer: str) -> Iterator[Violation]:
    steps = list(Transition.objects.filter(cycle=cycle).order_by("id").values_list("from_state", "to_state"))
    if answer not in {to for _, to in steps}:
        yield Violation("broken", str(cycle.pk), f"{verb} was answered with {answer}, where it never was")
    if (State.PAUSING.value, State.QUEUED.value) in steps:
        yield Violation("broken", str(cycle.pk), "it was pausing and went back into the queue by itself")


def _resumed(operations: Sequence[Operation]) -> Iterator[Violation]:
    """Nothing that was paused goes on before somebody asks, and then it does, once."""
    asked = Counter(
        operation.cycle
        for operation in operations
        if operation.what == "acknowledged" and operation.facts["verb"] == "cycle_resume"
    )
    steps = Transition.objects.filter(from_state=State.PAUSED, to_state=State.QUEUED)
    resumed = Counter(str(pk) for pk in steps.values_list("cycle", flat=True))
    for cycle in sorted(asked.keys() | resumed.keys()):
        if resumed[cycle] != asked[cycle]:
            sentence = f"resumed {resumed[cycle]} times, asked {asked[cycle]} times"
            yield Violation("broken", cycle, sentence)


def _projects() -> Iterator[Violation]:
    """`current` is a promoted checkpoint of the project, and there is one as soon as one was promoted."""
    for project in Project.objects.select_related("current"):
        promoted = Checkpoint.objects.filter(project=project, standing=Standing.PROMOTED)
        if project.current_id is None and promoted.exists():
            yield Violation("torn", str(project), "it has promoted checkpoints and no current one")
        elif project.current_id is not None and not promoted.filter(pk=project.current_id).exists():
            yield Violation("torn", str(project), "its current checkpoint is no promoted one of its own")


def _files() -> Iterator[Violation]:
    """Every content that a row names lies in the store and is what its name says."""
    sizes: dict[tuple[UUID, str], list[tuple[str, int | None]]] = {}

    def due(workspace: UUID, sha256: str, what: str, size: int | None) -> None:
        sizes.setdefault((workspace, sha256), []).append((what, size))

    for stored in StoredFile.objects.all():
        due(stored.workspace_id, stored.sha256, f"stored file {stored}", stored.size_bytes)
    for made in Checkpoint.objects.select_related("project"):
        due(made.project.workspace_id, made.sha256, f"{made} of {made.project}", made.size_bytes)
        if made.fisher_sha256:
            due(made.project.workspace_id, made.fisher_sha256, f"the significance of {made}", None)
    for kept in RecordSet.objects.select_related("project"):
        due(kept.project.workspace_id, kept.sha256, f"{kept} of {kept.project}", kept.size_bytes)
    for (workspace, sha256), users in sizes.items():
        for sentence in _file(workspace, sha256, users):
            yield Violation("torn", ", ".join(what for what, _ in users), sentence)


def _file(workspace: UUID, sha256: str, users: list[tuple[str, int | None]]) -> Iterator[str]:
    try:
        found: tuple[str, Any] = file_sha256(store_path(workspace, sha256))
    except OSError as error:
        yield f"its file is not there ({error.strerror})"
        return
    if found[0] != sha256:
        yield f"its file has the digest {found[0][:12]} instead of {sha256[:12]}"
    elif any(size not in {None, found[1]} for _, size in users):
        yield f"its file has {found[1]} bytes"
    if not StoredFile.objects.filter(workspace=workspace, sha256=sha256).exists():
        yield "no row of the store holds its file"
