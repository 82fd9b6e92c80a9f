"""Whole cycles on real digits with a real trainer: wake, wake, sleep, score, and what is left afterwards."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from django.conf import settings
from django.urls import reverse

from consolidation.demo import digits
from consolidation.formats.checkpoint import inspect_checkpoint
from consolidation.memory.store import Records
from tests.workers.conftest import Run, trainer_log
from webapp.checkpoints.choices import Standing
from webapp.checkpoints.models import Checkpoint, Score
from webapp.core.store import store_path
from webapp.cycles.choices import State
from webapp.cycles.models import Snapshot, Transition
from webapp.cycles.selectors import cycle_state, retention_matrix
from webapp.cycles.services import cycle_retry, cycle_start
from webapp.live.models import Frame
from webapp.memories.models import RecordSet, Use

if TYPE_CHECKING:
    from django.test import Client

    from tests.support.jobs import Lab


def test_two_wakes_a_sleep_and_a_score(lab: Lab, run_next: Run) -> None:
    lab.wake(0, epochs=3)
    first = run_next()
    assert first.state == State.SUCCEEDED, trainer_log(first)
    lab.wake(1, epochs=3)
    second = run_next()
    assert second.state == State.SUCCEEDED, trainer_log(second)
    lab.project.refresh_from_db()
    assert [c.standing for c in Checkpoint.objects.order_by("number")] == [Standing.PROMOTED] * 2
    assert lab.project.current == Checkpoint.objects.get(number=2)
    assert second.base == Checkpoint.objects.get(number=1)
    memories = RecordSet.objects.filter(use=Use.MEMORIES, replaced_at=None)
    assert [(item.has_logits, item.rows) for item in memories] == [(True, digits.MEMORIES)] * 2

    night = lab.sleep(passes=3)
    assert night.reference == Checkpoint.objects.get(number=1)
    slept = run_next()
    assert slept.state in {State.SUCCEEDED, State.REJECTED}, trainer_log(slept)
    made = Checkpoint.objects.get(cycle=slept)
    assert (made.number, made.parent) == (3, second.result)
    improved = slept.verdict == "improved"
    assert made.standing == (Standing.PROMOTED if improved else Standing.CANDIDATE)
    lab.project.refresh_from_db()
    assert lab.project.current == (made if improved else second.result)
    assert made.fisher_sha256
    assert slept.report["metrics"]["after"]["retention"] is not None
    file = store_path(lab.workspace.pk, made.sha256)
    assert inspect_checkpoint(file)["sha256"] == made.sha256
    assert file.stat().st_mode & 0o222 == 0

    matrix = retention_matrix(lab.project)
    assert [row["kind"] for row in matrix["rows"]] == ["wake", "wake", "sleep"]
    assert all(0 <= value <= 1 for row in matrix["rows"] for value in row["scores"].values())
    score = Score.objects.get(checkpoint=made, task__position=1)
    bits = "".join(f"{byte:08b}" for byte in bytes(score.correct))
    assert bits[: score.examples].count("1") / score.examples == pytest.approx(score.value)

    cycle_start(actor=lab.alice, project=lab.project, kind="score", recipe={}, base=made)
    scored = run_next()
    assert (scored.state, scored.verdict) == (State.SUCCEEDED, ""), trainer_log(scored)
    assert Score.objects.get(pk=score.pk).value == pytest.approx(score.value)
    assert Checkpoint.objects.count() == 3


def test_memories_stay_packed_within_their_bytes_and_the_day_is_used(
    lab: Lab, run_next: Run, client: Client
) -> None:
    """What the wake's recipe asked for is what lies in the store, and what a night replays."""
    for index in range(2):
        lab.wake(index, epochs=2, codec="q4", memory_bytes=3000, memories=1000, selection="herding")
        woke = run_next()
        assert woke.state == State.SUCCEEDED, trainer_log(woke)
    for kept in RecordSet.objects.filter(use=Use.MEMORIES):
        records = Records.open(store_path(lab.workspace.pk, kept.sha256))
        assert records.packed is not None and records.packed.codec.name == "q4"
        assert 2000 < records.bytes["total"] <= 3000
        raw = np.asarray(digits.demo_task(kept.task.position - 1).train.x)
        assert (kept.rows, kept.x_dtype, kept.has_logits) == (len(records), str(raw.dtype), True)
        assert kept.rows * raw[0].nbytes > records.bytes["x"], "plain, they would not fit"
        assert kept.size_bytes == store_path(lab.workspace.pk, kept.sha256).stat().st_size
    client.force_login(lab.alice)
    page = client.get(reverse("records_list", args=[lab.project.pk])).content.decode()
    assert page.count("uint8 · q4") == 2

    lab.sleep(passes=2, fresh=100)
    slept = run_next()
    assert slept.state in {State.SUCCEEDED, State.REJECTED}, trainer_log(slept)
    frames = Frame.objects.filter(cycle=slept, kind="data").order_by("seq")
    events = [event for frame in frames for event in frame.payload["events"]]
    told = [event["message"] for event in events if event["kind"] == "log" and "at hand" in event["message"]]
    assert len(told) == 1 and f"100 training records of '{digits.TASKS[1]}'" in told[0]
    assert str(lab.workspace.pk) not in told[0]


def test_without_its_training_set_a_checkpoint_still_sleeps(lab: Lab, run_next: Run) -> None:
    woke = lab.wake(0, epochs=1)
    assert run_next().state == State.SUCCEEDED
    assert woke.data is not None
    store_path(lab.workspace.pk, woke.data.sha256).unlink()
    lab.sleep(passes=1)
    slept = run_next()
    assert slept.state in {State.SUCCEEDED, State.REJECTED}, trainer_log(slept)
    payloads = Frame.objects.filter(cycle=slept, kind="data").values_list("payload", flat=True)
    assert not any("at hand" in json.dumps(payload) for payload in payloads)


def test_the_record_of_a_cycle(lab: Lab, run_next: Run) -> None:
    lab.wake(0, epochs=4)
    cycle = run_next()
    steps = Transition.objects.filter(cycle=cycle).order_by("id").values_list("to_state", flat=True)
    assert list(steps) == ["queued", "starting", "running", "publishing", "succeeded"]
    frames = list(Frame.objects.filter(cycle=cycle).order_by("seq"))
    assert [frame.seq for frame in frames] == list(range(1, len(frames) + 1))
    data = [frame.payload for frame in frames if frame.kind == "data"]
    points = [json.loads(frame.points) for frame in frames if frame.points]
    assert [step for columns in points for step in columns["step"]] == list(range(1, cycle.total_steps + 1))
    assert all(len(column) <= 256 for columns in points for column in columns.values())
    events = [event for payload in data for event in payload["events"]]
    stages = [event["stage"] for event in events if event["kind"] == "stage_started"]
    assert stages == ["wake probe", "learning", "morning probe"]
    assert [event["kind"] for event in events[-2:]] == ["verdict", "stage_ended"]
    assert not any("path" in event for event in events)
    assert "resume_step" not in data[0]
    assert Snapshot.objects.filter(cycle=cycle).exists()
    state = cycle_state(cycle)
    assert (state["progress"], state["step"], state["result"]["number"]) == (1.0, cycle.total_steps, 1)
    assert cycle.environment["threads"] == 1
    folder = Path(settings.CYCLES_DIR) / str(cycle.pk) / "e1"
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == []


def test_when_the_current_checkpoint_moved_the_result_is_a_branch(lab: Lab, run_next: Run) -> None:
    lab.wake(0, epochs=1)
    assert run_next().state == State.SUCCEEDED
    first = Checkpoint.objects.get(number=1)
    data = lab.put(0, Use.TRAINING)
    recipe = digits.wake_recipe(0).to_json() | {"epochs": 1}
    for _ in range(2):
        cycle_start(actor=lab.alice, project=lab.project, kind="wake", recipe=recipe, data=data, base=first)
    assert run_next().state == State.SUCCEEDED
    late = run_next()
    assert late.state == State.SUCCEEDED
    assert any("conflict.base_moved" in reason for reason in late.reasons)
    assert Checkpoint.objects.get(cycle=late).standing == Standing.BRANCH
    lab.project.refresh_from_db()
    assert lab.project.current == Checkpoint.objects.get(number=2)


def test_a_damaged_input_ends_with_a_sentence(lab: Lab, run_next: Run) -> None:
    cycle = lab.wake(0)
    assert cycle.data is not None
    path = store_path(lab.workspace.pk, cycle.data.sha256)
    path.chmod(0o644)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 0xFF]))
    failed = run_next()
    assert (failed.state, failed.error_code) == (State.FAILED, "cycle.input_damaged")
    assert str(path) not in failed.error_message
    path.unlink()
    cycle_retry(actor=lab.alice, cycle=failed)
    assert run_next().error_code == "cycle.input_missing"


def test_the_supervisor_and_the_clock_never_load_torch() -> None:
    import subprocess

    code = "import sys, workers.app; assert 'torch' not in sys.modules, 'torch'"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
