"""Publishing: staged before anything is locked, within the quota, never from what was erased meanwhile."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.db import connections, transaction

from consolidation.demo import digits
from tests.support.jobs import Lab, worker
from tests.webapp.cycles.test_room import quota
from tests.webapp.cycles.test_services import ready_to_sleep
from tests.webapp.memories.test_services import info
from webapp.accounts.models import Workspace
from webapp.checkpoints.models import Checkpoint
from webapp.checkpoints.promotion import checkpoint_promote
from webapp.checkpoints.standing import SKEWED, doubt_of, own_standing
from webapp.core.errors import Conflict
from webapp.core.store import NoRoom, file_sha256, room_left, store_path, workspace_used_bytes
from webapp.cycles.blocking import cycle_block
from webapp.cycles.choices import State
from webapp.cycles.claim import claim
from webapp.cycles.models import Cycle
from webapp.cycles.outcome import outcome
from webapp.cycles.publish import Found, Output, publish
from webapp.cycles.recheck import cycles_recheck
from webapp.cycles.services import cycle_start
from webapp.cycles.transitions import transition
from webapp.memories.models import RecordSet, Use
from webapp.memories.services import record_set_accept
from webapp.uploads.models import StoredFile

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def result(tmp_path: Path) -> Callable[..., Output]:
    """What a trainer left, with a model of its own content and size."""

    def make(size: int = 100_000, fisher: int = 0) -> Output:
        def found(name: str, data: bytes, **info: Any) -> Found:
            path = tmp_path / name
            path.write_bytes(data)
            sha256, length = file_sha256(path)
            return Found(path, {"sha256": sha256, "size": length, **info})

        model = found(
            "model", os.urandom(size), family=digits.FAMILY, config=digits.CONFIG, tensors=[],
            parameters=17_610, non_finite=False,
        )  # fmt: skip
        return Output(
            report={}, verdict="improved", reasons=[], before={}, after={}, model=model,
            fisher=found("fisher", os.urandom(fisher)) if fisher else None,
        )  # fmt: skip

    return make


def publishing() -> Cycle:
    """The next cycle, as far as its worker's last step."""
    mine = claim(worker=worker())
    assert mine is not None
    transition(mine.pk, to=State.RUNNING, expect_from=(State.STARTING,), epoch=mine.epoch)
    return transition(mine.pk, to=State.PUBLISHING, expect_from=(State.RUNNING,), epoch=mine.epoch)


def on_the_way() -> list[str]:
    folder = Path(settings.INCOMING_DIR)
    return [path.name for path in folder.glob("publish-*")] if folder.is_dir() else []


@pytest.fixture(autouse=True)
def nothing_on_the_way() -> None:
    """Tests that kill whoever publishes leave files there."""
    for name in on_the_way():
        (Path(settings.INCOMING_DIR) / name).unlink()


def nothing_published(cycle: Cycle) -> None:
    assert Cycle.objects.get(pk=cycle.pk).state == State.PUBLISHING
    assert not Checkpoint.objects.filter(cycle=cycle).exists()
    assert on_the_way() == []


def test_the_files_go_in_and_nothing_is_left_on_the_way(lab: Lab, result: Callable[..., Output]) -> None:
    lab.wake(0)
    mine, output = publishing(), result(fisher=5_000)
    done = publish(cycle_id=mine.pk, epoch=mine.epoch, output=output)
    assert done.state == State.SUCCEEDED
    made = Checkpoint.objects.get(cycle=mine)
    for found, sha256 in ((output.model, made.sha256), (output.fisher, made.fisher_sha256)):
        assert found is not None
        assert file_sha256(store_path(lab.workspace.pk, sha256))[0] == found.info["sha256"]
        assert found.path.exists()
    assert on_the_way() == []
    # After a lost answer it finds out that it was done, without copying anything.
    assert publish(cycle_id=mine.pk, epoch=mine.epoch, output=output).state == State.SUCCEEDED


def test_from_another_disk_it_is_copied_before_any_row_is_locked(
    committed_lab: Lab, result: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    committed_lab.wake(0)
    mine, output = publishing(), result()
    seen = []

    def other_disk(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    def look() -> None:
        try:
            with transaction.atomic():
                seen.append(Cycle.objects.select_for_update(nowait=True).get(pk=mine.pk).state)
        finally:
            connections.close_all()

    def copy(source: Path, target: Path) -> None:
        watcher = threading.Thread(target=look)
        watcher.start()
        watcher.join()
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr(os, "link", other_disk)
    monkeypatch.setattr(shutil, "copyfile", copy)
    assert publish(cycle_id=mine.pk, epoch=mine.epoch, output=output).state == State.SUCCEEDED
    assert seen == [State.PUBLISHING]  # a person could still write the row
    assert on_the_way() == []


def test_a_store_without_space_leaves_nothing_behind(
    lab: Lab, result: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.wake(0)
    mine, output = publishing(), result()

    def full(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        publish(cycle_id=mine.pk, epoch=mine.epoch, output=output)
    nothing_published(mine)


def test_an_error_later_takes_the_files_back(
    lab: Lab, result: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.wake(0)
    mine, output = publishing(), result()

    def broken(point: str) -> None:
        if point == "publish.before_commit":
            raise RuntimeError("the end")

    monkeypatch.setattr("webapp.cycles.publish.fault", broken)
    with pytest.raises(RuntimeError, match="the end"):
        publish(cycle_id=mine.pk, epoch=mine.epoch, output=output)
    assert output.model is not None
    assert not store_path(lab.workspace.pk, output.model.info["sha256"]).exists()
    nothing_published(mine)


def test_a_result_over_the_quota_waits_for_room_and_is_not_lost(
    lab: Lab, result: Callable[..., Output]
) -> None:
    cycle = lab.wake(0)
    mine, output = publishing(), result(size=3 * cycle.store_bytes)
    quota(lab, 0)  # what was promised to it is all that is left
    with pytest.raises(NoRoom) as error:
        publish(cycle_id=mine.pk, epoch=mine.epoch, output=output)
    assert (error.value.code, error.value.status) == ("cycle.no_room", 413)
    assert error.value.detail == {"need": 3 * cycle.store_bytes, "free": cycle.store_bytes}
    assert "needs up to" in error.value.message
    assert "left of" in error.value.message
    nothing_published(mine)
    used = workspace_used_bytes(lab.workspace)
    cycle_block(
        cycle_id=mine.pk, code=error.value.code, message=error.value.message, epoch=mine.epoch
    )  # fmt: skip
    # It asks for what it really needs now, so that it is not let go on in vain.
    quota(lab, 3 * cycle.store_bytes - 1)
    assert cycles_recheck() == 0
    quota(lab, 3 * cycle.store_bytes)
    assert cycles_recheck() == 1
    mine = publishing()
    assert publish(cycle_id=mine.pk, epoch=mine.epoch, output=output).state == State.SUCCEEDED
    fresh = Workspace.objects.get(pk=lab.workspace.pk)
    assert workspace_used_bytes(fresh) == used + 3 * cycle.store_bytes
    assert room_left(fresh) == 0


def test_what_is_there_already_needs_no_room(lab: Lab, result: Callable[..., Output]) -> None:
    lab.wake(0)
    mine, output = publishing(), result(size=10**6)
    assert output.model is not None
    StoredFile.objects.create(
        workspace=lab.workspace, sha256=output.model.info["sha256"], size_bytes=output.model.info["size"]
    )
    quota(lab, 0)
    assert publish(cycle_id=mine.pk, epoch=mine.epoch, output=output).state == State.SUCCEEDED


# ------------------------------------------------------------ memories with a warning


def warned(lab: Lab) -> None:
    note = {"code": "replay.skew_warning", "text": "400 of 1,000 records repeat an earlier one."}
    RecordSet.objects.filter(project=lab.project, use="memories").update(notes=[note])


def test_a54_an_improved_night_on_skewed_memories_waits_for_a_person(
    lab: Lab, result: Callable[..., Output]
) -> None:
    base = ready_to_sleep(lab)
    warned(lab)
    lab.sleep()
    mine = publishing()
    done = publish(cycle_id=mine.pk, epoch=mine.epoch, output=result())
    made = Checkpoint.objects.get(cycle=mine)
    lab.project.refresh_from_db()
    assert (done.verdict, made.standing, lab.project.current) == ("improved", "candidate", base)
    assert done.reasons == [SKEWED]
    doubt = doubt_of(made)
    assert doubt is not None
    assert (doubt.kind, own_standing(made)) == ("held", "candidate")
    ended = outcome(Cycle.objects.get(pk=mine.pk))
    assert ended is not None
    assert ended["sentence"] == "Improved, on records that look skewed: v2 is kept as a candidate beside v1."
    checkpoint_promote(actor=lab.alice, checkpoint=made)
    ended = outcome(Cycle.objects.get(pk=mine.pk))
    assert ended is not None
    assert ended["sentence"] == "Improved, but a person promoted v2 all the same."


def test_a54_what_a_wake_keeps_of_noted_records_is_noted_too(lab: Lab) -> None:
    cycle = lab.wake(0)
    assert cycle.data is not None
    notes = [{"code": "replay.skew_warning", "text": "One label."}]
    cycle.data.notes = notes
    facts = info(x_shape=[64], classes=10, label_histogram=[1] * 10, notes=[{"code": 1, "text": "a\nb"}, 7])
    kept = record_set_accept(
        project=lab.project, task=cycle.data.task, use=Use.MEMORIES, sha256="a" * 64, info=facts, cycle=cycle
    )
    assert kept.notes == [{"code": "1", "text": "a?b"}, *notes]


def test_a_replaced_warning_holds_nothing_back(lab: Lab, result: Callable[..., Output]) -> None:
    ready_to_sleep(lab)
    warned(lab)
    lab.put(0, Use.MEMORIES)
    lab.sleep()
    mine = publishing()
    assert publish(cycle_id=mine.pk, epoch=mine.epoch, output=result()).reasons == []
    assert Checkpoint.objects.get(cycle=mine).standing == "promoted"


# ------------------------------------------------------------ erased meanwhile


def test_memories_that_were_erased_while_it_ran(lab: Lab, result: Callable[..., Output]) -> None:
    ready_to_sleep(lab)
    cycle = lab.sleep()
    mine = publishing()
    cycle.memories.get().delete()
    with pytest.raises(Conflict) as error:
        publish(cycle_id=mine.pk, epoch=mine.epoch, output=result())
    assert error.value.code == "replay.revoked"
    assert "erased since" in error.value.message
    assert error.value.detail == {"gone": 1}
    nothing_published(mine)


def test_memories_that_were_only_replaced(lab: Lab, result: Callable[..., Output]) -> None:
    ready_to_sleep(lab)
    lab.sleep()
    mine = publishing()
    lab.put(0, "memories")
    assert publish(cycle_id=mine.pk, epoch=mine.epoch, output=result()).state == State.SUCCEEDED


def test_answers_of_memories_that_were_replaced_at_the_last_moment(
    lab: Lab, result: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = ready_to_sleep(lab)
    old = RecordSet.objects.get(use=Use.MEMORIES, replaced_at__isnull=True)
    cycle_start(actor=lab.alice, project=lab.project, kind="score", recipe={}, base=base, data=old)
    mine, output = publishing(), result()
    assert output.model is not None
    answers = dataclasses.replace(output, model=None, memories=output.model)

    def room(*_: object) -> None:
        """After the cycle was read, before the project's lock."""
        lab.put(0, Use.MEMORIES)

    monkeypatch.setattr("webapp.cycles.publish._ensure_quota", room)
    ended = publish(cycle_id=mine.pk, epoch=mine.epoch, output=answers)
    assert "replaced meanwhile" in ended.reasons[0]
    assert not RecordSet.objects.filter(cycle=mine).exists()


def test_a_training_set_that_was_erased(lab: Lab, result: Callable[..., Output]) -> None:
    cycle = lab.wake(0)
    mine = publishing()
    RecordSet.objects.filter(cycles_as_data=cycle).delete()
    with pytest.raises(Conflict) as error:
        publish(cycle_id=mine.pk, epoch=mine.epoch, output=result())
    assert error.value.code == "replay.revoked"


def test_a_base_that_was_deleted(lab: Lab, result: Callable[..., Output]) -> None:
    base = ready_to_sleep(lab)
    lab.sleep()
    mine = publishing()
    base.delete()
    with pytest.raises(Conflict) as error:
        publish(cycle_id=mine.pk, epoch=mine.epoch, output=result())
    assert error.value.code == "cycle.input_missing"
    nothing_published(mine)
