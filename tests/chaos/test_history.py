"""The judge of the soak finds what is wrong, and nothing in a history that is sound."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.db.models import F

from tests.chaos.history import check
from tests.chaos.operations import Operation, Reader
from tests.support.jobs import Lab, worker
from tests.support.rows_free import free_states
from webapp.checkpoints.choices import Origin, Standing
from webapp.checkpoints.models import Checkpoint
from webapp.checkpoints.services import checkpoint_create
from webapp.core.models import AuditEntry
from webapp.core.oplog import OpLog
from webapp.core.store import store_path
from webapp.cycles.choices import State
from webapp.cycles.claim import claim
from webapp.cycles.models import Cycle, Transition
from webapp.cycles.steering import cycle_pause, cycle_resume
from webapp.cycles.transitions import transition
from webapp.live.frames import frame_write
from webapp.live.models import Frame
from webapp.projects.models import Project
from webapp.uploads.models import StoredFile

if TYPE_CHECKING:
    from pathlib import Path

Logged = list[Operation]
PID = 41


@pytest.fixture
def sound(db: None, tmp_path: Path) -> tuple[Cycle, Logged]:
    """A wake that was paused while it waited, lost its worker at step 4, went on from step 3 and ended well,
    and the log of it."""
    lab = Lab.make()
    cycle = lab.wake(0)
    log: Logged = []

    def note(what: str, pid: int = PID, **facts: Any) -> None:
        log.append(Operation(what, pid, float(len(log)), {"cycle": str(cycle.pk), **facts}))

    note("acknowledged", verb="cycle_start", state="queued")
    for request in (cycle_pause, cycle_resume):
        answer = request(actor=lab.alice, cycle=cycle)
        note("acknowledged", verb=request.__name__, state=answer.state)
    note_steps = {1: [1, 2, 3, 4], 3: [4, 5, 6]}
    for epoch, steps in note_steps.items():
        claimed = claim(worker=worker())
        assert claimed is not None
        assert claimed.epoch == epoch
        note("claimed", PID + epoch, epoch=epoch)
        note("trainer", 7, epoch=epoch, parent=PID + epoch)
        transition(cycle.pk, to=State.RUNNING, expect_from=(State.STARTING,), epoch=epoch)
        payload = {"points": {"step": steps}} | ({"resume_step": 3} if epoch > 1 else {})
        seq = frame_write(cycle_id=cycle.pk, epoch=epoch, kind="data", payload=payload)
        note("frame", PID + epoch, epoch=epoch, seq=seq)
        if epoch == 1:
            transition(cycle.pk, to=State.QUEUED, expect_from=(State.RUNNING,), fence=True)
    transition(cycle.pk, to=State.PUBLISHING, expect_from=(State.RUNNING,), epoch=3)
    path = tmp_path / "weights"
    path.write_bytes(b"weights")
    sha256, size = lab.store(path)
    checkpoint_create(
        project=lab.project, cycle=cycle, parent=None, origin=Origin.WAKE, standing=Standing.PROMOTED,
        sha256=sha256, size_bytes=size, family="mlp", tensors=[], parameters=7, non_finite=False, wake={},
        config={"layers": [4, 4, 2], "activation": "relu", "names": ["net.0", "net.2"]},
    )  # fmt: skip
    transition(
        cycle.pk, to=State.SUCCEEDED, expect_from=(State.PUBLISHING,), epoch=3, report={"steps": 6}
    )  # fmt: skip
    note("published", PID + 3, epoch=3)
    return Cycle.objects.get(pk=cycle.pk), log


def test_nothing_is_found_in_a_sound_history(sound: tuple[Cycle, Logged]) -> None:
    assert check(sound[1]) == []


def stored(cycle: Cycle) -> Path:
    return store_path(cycle.project.workspace_id, Checkpoint.objects.get(cycle=cycle).sha256)


def state(to: str) -> Callable[[Cycle, Logged], None]:
    def change(cycle: Cycle, _log: Logged) -> None:
        with free_states():
            Cycle.objects.filter(pk=cycle.pk).update(state=to)

    return change


def of(cycle: Cycle) -> dict[str, str]:
    return {"cycle": str(cycle.pk)}


def two_results(cycle: Cycle, _log: Logged) -> None:
    """As if the database's own constraint were gone."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'checkpoints_checkpoint'::regclass "
            "AND contype = 'u' AND conname LIKE '%%cycle_id%%'"
        )
        (name,) = cursor.fetchone()
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f'ALTER TABLE checkpoints_checkpoint DROP CONSTRAINT "{name}"')
    made = Checkpoint.objects.get(cycle=cycle)
    Checkpoint.objects.bulk_create([_copy(made)])


def _copy(made: Checkpoint) -> Checkpoint:
    fields = {f.attname: getattr(made, f.attname) for f in made._meta.concrete_fields if f.attname != "id"}
    return Checkpoint(**fields | {"number": made.number + 1})


def torn(cycle: Cycle, _log: Logged) -> None:
    stored(cycle).chmod(0o644)
    stored(cycle).write_bytes(b"weighty")


def short(cycle: Cycle, _log: Logged) -> None:
    Checkpoint.objects.filter(cycle=cycle).update(size_bytes=F("size_bytes") + 1)


def overtaken(cycle: Cycle, _log: Logged) -> None:
    frames = Frame.objects.filter(cycle=cycle, kind="data").order_by("seq")
    last = frames.last()
    assert last is not None
    Frame.objects.filter(pk=last.pk).update(epoch=1)


def resume_at(step: int) -> Callable[[Cycle, Logged], None]:
    def change(cycle: Cycle, _log: Logged) -> None:
        frame = Frame.objects.get(cycle=cycle, payload__has_key="resume_step")
        frame.payload = {"resume_step": step}
        frame.save()

    return change


BREAKS: dict[str, tuple[Callable[[Cycle, Logged], object], str, str]] = {
    "a cycle that never ends": (state(State.QUEUED), "lost", "has not ended"),
    "a state without its step": (state(State.REJECTED), "broken", "the row says rejected"),
    "a step that is missing": (
        lambda c, _: Transition.objects.filter(cycle=c, to_state=State.RUNNING).first().delete(),  # type: ignore[union-attr]
        "broken",
        "but it stood at",
    ),
    "an illegal step": (
        lambda c, _: Transition.objects.filter(cycle=c, to_state=State.PUBLISHING).update(
            to_state=State.PAUSED
        ),
        "broken",
        "illegal step",
    ),
    "an epoch that goes back": (
        lambda c, _: Transition.objects.filter(cycle=c, to_state=State.PUBLISHING).update(epoch=2),
        "broken",
        "epoch 2 after epoch 3",
    ),
    "an audit that tells something else": (
        lambda c, _: AuditEntry.objects.filter(object_id=c.pk, verb="cycle_running").delete(),
        "broken",
        "the audit tells",
    ),
    "a gap in the frames": (
        lambda c, _: Frame.objects.filter(cycle=c, seq=4).delete(),
        "broken",
        "missing [4]",
    ),
    "a frame of an epoch that is over": (overtaken, "doubled", "overtaken epoch"),
    "steps twice": (resume_at(4), "broken", "go wrong at step 5"),
    "steps missing": (resume_at(2), "broken", "go wrong at step 3"),
    "the last steps missing": (
        lambda c, _: Cycle.objects.filter(pk=c.pk).update(report={"steps": 7}),
        "broken",
        "metrics of 6 steps",
    ),
    "two checkpoints": (two_results, "doubled", "2 checkpoints"),
    "no checkpoint": (
        lambda c, _: Checkpoint.objects.filter(cycle=c).update(cycle=None),
        "torn",
        "has no checkpoint",
    ),
    "a file that is gone": (lambda c, _: stored(c).unlink(), "torn", "is not there"),
    "a file that was torn": (torn, "torn", "has the digest"),
    "a file of another size": (short, "torn", "bytes"),
    "a file that no row holds": (lambda c, _: StoredFile.objects.all().delete(), "torn", "no row"),
    "a current checkpoint that is a candidate": (
        lambda c, _: Checkpoint.objects.filter(cycle=c).update(standing=Standing.CANDIDATE),
        "torn",
        "no promoted one",
    ),
    "a pointer that points nowhere": (
        lambda c, _: Project.objects.update(current=None),
        "torn",
        "no current one",
    ),
    "two writers of one epoch": (
        lambda c, log: log.append(Operation("frame", 99, 99, of(c) | {"epoch": 3, "seq": 99})),
        "doubled",
        "epoch 3 had 2 writers",
    ),
    "a trainer of somebody else": (
        lambda c, log: log.append(Operation("trainer", 8, 99, of(c) | {"epoch": 3, "parent": 98})),
        "doubled",
        "epoch 3 had 2 writers",
    ),
    "an epoch that is claimed twice": (
        lambda c, log: log.append(Operation("claimed", PID + 3, 99, of(c) | {"epoch": 3})),
        "broken",
        "claimed after epoch 3",
    ),
    "a frame that is written twice": (
        lambda c, log: log.append(next(op for op in log if op.what == "frame")),
        "doubled",
        "written twice",
    ),
    "a frame that was committed and is not there": (
        lambda c, log: log.append(Operation("frame", PID + 3, 99, of(c) | {"epoch": 3, "seq": 99})),
        "broken",
        "frame 99",
    ),
    "two that published": (
        lambda c, log: log.append(Operation("published", PID + 1, 99, of(c) | {"epoch": 1})),
        "doubled",
        "published by epochs",
    ),
    "a cancel that was promised": (
        lambda c, log: log.append(
            Operation("acknowledged", 1, 99, of(c) | {"verb": "cycle_cancel", "state": "cancelling"})
        ),
        "broken",
        "cycle_cancel was acknowledged",
    ),
    "a pause that was promised": (
        lambda c, log: log.append(
            Operation("acknowledged", 1, 99, of(c) | {"verb": "cycle_pause", "state": "pausing"})
        ),
        "broken",
        "where it never was",
    ),
    "a pause that ended by itself": (
        lambda _, log: log.remove(next(op for op in log if op.facts.get("verb") == "cycle_resume")),
        "broken",
        "resumed 1 times, asked 0 times",
    ),
    "a resume that was promised": (
        lambda c, log: log.append(
            Operation("acknowledged", 1, 99, of(c) | {"verb": "cycle_resume", "state": "queued"})
        ),
        "broken",
        "resumed 1 times, asked 2 times",
    ),
    "a start that was promised": (
        lambda c, log: log.append(
            Operation(
                "acknowledged",
                1,
                99,
                {"cycle": "00000000-0000-0000-0000-000000000000", "verb": "cycle_start", "state": "queued"},
            )
        ),
        "lost",
        "no such cycle",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_history_is_found(name: str, sound: tuple[Cycle, Logged]) -> None:
    breaking, kind, words = BREAKS[name]
    breaking(*sound)
    found = check(sound[1])
    assert any(one.kind == kind and words in one.sentence for one in found), found


def test_logs_are_read_as_they_grow(tmp_path: Path) -> None:
    log, reader = OpLog(tmp_path), Reader(tmp_path)
    log("claimed", cycle="c", epoch=1)
    assert [op.what for op in reader.news()] == ["began", "claimed"]
    assert reader.news() == []
    log("frame", cycle="c", epoch=1, seq=2)
    (frame,) = reader.news()
    assert (frame.cycle, frame.epoch, frame.facts["seq"]) == ("c", 1, 2)


def test_a_line_that_is_still_being_written_is_read_once_it_is_whole(tmp_path: Path) -> None:
    line, reader = b'{"what": "claimed", "pid": 1, "monotonic": 2.0, "epoch": 3}\n', Reader(tmp_path)
    with (tmp_path / "1.jsonl").open("ab", buffering=0) as file:
        for part in (line[:5], line[5:20]):
            file.write(part)
            assert reader.news() == []
        file.write(line[20:] + line[:9])
        assert [op.epoch for op in reader.news()] == [3]
        file.write(line[9:12])
        assert reader.news() == []
        file.write(line[12:])
        assert [op.epoch for op in reader.news()] == [3]
