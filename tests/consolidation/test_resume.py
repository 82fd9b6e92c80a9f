"""A run cut anywhere and resumed is the unbroken run, bit for bit."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from consolidation.cycle import sleep
from consolidation.errors import Stopped
from consolidation.memory.store import Records, Transform
from consolidation.snapshot import NAME, PREVIOUS, Undo, read_snapshot, write_snapshot
from consolidation.waking import wake
from consolidation.weights import new_model
from tests.consolidation.helpers import CONFIG, Recorder, bits, hooks, make_records, make_world, wake_recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from consolidation.events import Listener
    from consolidation.report import Report

NIGHTS: dict[str, dict[str, Any]] = {
    "momentum, dreams, two rounds": {"rounds": 2},
    "adamw, anchor, consistency": {
        "optimizer": "adamw",
        "lr": 0.01,
        "anchor": 0.5,
        "reconstruct": "consistency",
    },
    "mask, early stop, range test": {"prune_mode": "mask", "min_gain": 0.02, "lr": None, "passes": 15},
}


def night(
    overrides: dict[str, Any],
    workdir: Path | None = None,
    stop: Callable[[], str | None] | None = None,
    listener: Listener | None = None,
) -> tuple[dict[str, bytes], Report]:
    world = make_world(**overrides)
    report = sleep(
        world.model, world.memories, world.probes, world.recipe, reference=world.reference, workdir=workdir,
        stop=stop, on_event=listener,
    )  # fmt: skip
    assert hooks(world.model) == 0
    return bits(world.model), report


def stop_after(calls: int) -> Callable[[], str | None]:
    left = iter(range(calls))
    return lambda: None if next(left, None) is not None else "stop"


@pytest.mark.parametrize("kind", NIGHTS)
def test_stopped_at_random_points_and_resumed(kind: str, tmp_path: Path) -> None:
    asked = 0

    def count() -> None:
        nonlocal asked
        asked += 1

    whole, report = night(NIGHTS[kind], stop=count)
    rng = random.Random(kind)
    for attempt, at in enumerate(sorted(rng.sample(range(1, asked), 3))):
        folder = tmp_path / str(attempt)
        with pytest.raises(Stopped) as caught:
            night(NIGHTS[kind], folder, stop_after(at))
        assert caught.value.reason == "stop"
        found, again = night(NIGHTS[kind], folder)
        assert found == whole, f"stopped at call {at} of {asked}"
        assert again.correct == report.correct
        assert again.steps == report.steps
        assert [row.to_json() for row in again.matrix] == [row.to_json() for row in report.matrix]
        assert again.fisher is not None
        assert report.fisher is not None
        assert set(again.fisher.tensors) == set(report.fisher.tensors)
        for name, tensor in report.fisher.tensors.items():
            assert torch.equal(again.fisher.tensors[name], tensor)


def test_broken_at_every_snapshot_by_an_exception_and_resumed_many_times(tmp_path: Path) -> None:
    """The listener dies right after each snapshot: one night in a dozen pieces."""
    overrides = {"rounds": 2, "snapshot_every_steps": 17}
    whole, _ = night(overrides)

    heard: list[dict[str, Any]] = []

    def die(event: Any) -> None:
        heard.append(event.to_json())
        started = [e for e in heard if e["kind"] in ("step", "stage_started")]
        if event.kind == "snapshot" and started:
            raise Died

    for _piece in range(60):
        heard.clear()
        try:
            found, _ = night(overrides, tmp_path, listener=die)
        except Died:
            continue
        break
    assert found == whole


WHOLE: dict[str, Any] = {
    "passes": 1.0, "dream": 0.3, "rounds": 2, "anchor": 0.1, "reconstruct": "linear-decoder", "lr": None,
    "prune_mode": "mask", "prune": 0.05, "task_tolerance": 0.0, "tolerance": 0.0, "snapshot_every_steps": 3,
}  # fmt: skip


class Died(Exception):
    pass


def test_broken_at_any_event_and_at_any_question_for_a_stop_it_ends_in_the_same_bits(tmp_path: Path) -> None:
    """In the middle of every stage: merging, both proposals (kept and taken back), dreams, the range test,
    the Fisher between two of its chunks. Each piece breaks a few moments further on than the one before."""
    told: list[str] = []
    whole, report = night(
        WHOLE, listener=lambda event: told.append(event.kind), stop=lambda: told.append("asked")
    )
    assert {d["kept"] for d in report.decisions} == {True, False}
    for start in range(3):
        found = None
        for moment in range(start, len(told) + 12, 17):
            left = iter(range(moment % 41 + 3))

            def count(_event: object = None, left: Iterator[int] = left) -> None:
                if next(left, None) is None:
                    raise Died

            try:
                found, again = night(WHOLE, tmp_path / str(start), stop=count, listener=count)
                break
            except Died:
                continue
        if found is None:
            found, again = night(WHOLE, tmp_path / str(start))
        assert found == whole
        assert again.correct == report.correct


@pytest.mark.parametrize("stage", ["merging", "significance", "downscaling", "REM dreaming", "morning probe"])
def test_broken_in_the_middle_of_a_stage(stage: str, tmp_path: Path) -> None:
    whole, _ = night(WHOLE)
    for late in (1, 3):
        inside = [0]
        here = [""]

        def strike(event: Any, inside: list[int] = inside, here: list[str] = here, late: int = late) -> None:
            here[0] = getattr(event, "stage", here[0])
            inside[0] += here[0] == stage
            if inside[0] > late:
                raise Died

        with contextlib.suppress(Died):  # a stage may tell fewer events than that
            night(WHOLE, tmp_path / str(late), listener=strike)
        assert night(WHOLE, tmp_path / str(late))[0] == whole


def test_the_clock_and_the_numbers_go_on_after_a_resume(tmp_path: Path) -> None:
    first, second = Recorder(), Recorder()
    with pytest.raises(Stopped):
        night({}, tmp_path, stop_after(40), first)
    night({}, tmp_path, None, second)
    last = first.of("snapshot")[-1]
    assert second.events[0].t >= next(s["t"] for s in first.of("step") if s["step"] == last["step"])
    steps = [s["step"] for s in second.of("step")]
    assert steps[0] == last["step"] + 1
    assert steps == list(range(steps[0], steps[0] + len(steps)))
    for heard in (first, second):
        times = [event.t for event in heard.events]
        assert times == sorted(times)
    progress = [event.progress for event in second.events]
    assert progress == sorted(progress)
    assert progress[0] > 0
    assert any("Resumed" in log["message"] for log in second.of("log"))


@pytest.mark.parametrize("other", ["recipe", "model", "records"])
def test_a_snapshot_of_another_run_is_told_by_what_differs_and_not_used(other: str, tmp_path: Path) -> None:
    """A dead run's snapshot stays in the folder when a run with other inputs begins there."""
    world = make_world(**({"seed": 4} if other == "recipe" else {}))
    if other == "model":
        world.model = new_model("mlp", CONFIG, 5)
    if other == "records":
        world.memories[0] = make_records(0, 40, 8, logits=True)
    with pytest.raises(Stopped):
        sleep(
            world.model, world.memories, world.probes, world.recipe, reference=world.reference,
            workdir=tmp_path, stop=stop_after(30),
        )  # fmt: skip
    heard = Recorder()
    found, _ = night({}, tmp_path, listener=heard)
    assert found == night({})[0]
    assert f"of another run: its {other} differ" in heard.of("log")[0]["message"]


def test_the_same_numbers_scaled_otherwise_are_other_records_for_a_snapshot(tmp_path: Path) -> None:
    world = make_world()
    other = world.memories[0]
    world.memories[0] = Records(
        task=other.task, x=other.x, y=other.y, z=other.z, classes=4, transform=Transform(scale=1 / 128)
    )
    with pytest.raises(Stopped):
        sleep(
            world.model, world.memories, world.probes, world.recipe, reference=world.reference,
            workdir=tmp_path, stop=stop_after(30),
        )  # fmt: skip
    heard = Recorder()
    assert night({}, tmp_path, listener=heard)[0] == night({})[0]
    assert "its records differ" in heard.of("log")[0]["message"]


def test_a_damaged_snapshot_falls_back_to_its_predecessor(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        night({}, tmp_path, stop_after(30))
    assert (tmp_path / PREVIOUS).exists()
    damaged = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(damaged[: len(damaged) // 2])
    assert night({}, tmp_path)[0] == night({})[0]


def test_a_finished_run_asked_again_gives_the_same(tmp_path: Path) -> None:
    first, report = night({}, tmp_path)
    second, again = night({}, tmp_path)
    assert first == second
    assert report.correct == again.correct


def test_other_threads_are_told(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        night({}, tmp_path, stop_after(30))
    torch.set_num_threads(2)
    heard = Recorder()
    night({}, tmp_path, listener=heard)
    assert any("threads 1 then, 2 now" in log["message"] for log in heard.of("log"))


def test_a_wake_resumes_too(tmp_path: Path) -> None:
    def day(workdir: Path | None, stop: Callable[[], str | None] | None) -> tuple[dict[str, bytes], Report]:
        model = new_model("mlp", CONFIG, 1)
        data, probe = make_records(0, 100, 1), make_records(0, 60, 2)
        report = wake(model, data, [probe], wake_recipe(momentum=0.9), workdir=workdir, stop=stop)
        return bits(model), report

    whole, report = day(None, None)
    for at in (1, 9, 20):
        with pytest.raises(Stopped):
            day(tmp_path / str(at), stop_after(at))
        found, again = day(tmp_path / str(at), None)
        assert found == whole
        assert again.memories is not None
        assert report.memories is not None
        assert again.memories.z is not None
        assert report.memories.z is not None
        assert (again.memories.z == report.memories.z).all()
        assert (again.memories.ids == report.memories.ids).all()


CHILD = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    import torch
    torch.set_num_threads(1)
    from tests.consolidation.test_resume import night
    from consolidation.events import Event

    def slowly(event: Event) -> None:
        if event.kind == "snapshot":
            print("snapshot", flush=True)
        if event.kind == "step":
            import time
            time.sleep(0.004)

    night({"snapshot_every_steps": 5}, Path(sys.argv[1]), listener=slowly)
    print("done", flush=True)
    """
)


def test_a_process_killed_three_times_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    env = os.environ | {"PYTHONPATH": str(root)}
    rng = random.Random(5)
    for _kill in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=env, cwd=root
        )
        assert child.stdout is not None
        for _ in range(rng.randint(2, 6)):
            assert child.stdout.readline() == "snapshot\n"
        time.sleep(rng.uniform(0, 0.03))
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        child.stdout.close()
    assert read_snapshot(tmp_path) is not None
    heard = Recorder()
    found, _ = night({"snapshot_every_steps": 5}, tmp_path, listener=heard)
    assert "Resumed" in heard.of("log")[0]["message"]
    assert found == night({"snapshot_every_steps": 5})[0]


def test_a_write_that_fails_leaves_the_older_snapshot(tmp_path: Path) -> None:
    write_snapshot(tmp_path, {"w": torch.ones(3)}, {"n": 1})
    with pytest.raises(TypeError):
        write_snapshot(tmp_path, {"w": torch.zeros(3)}, {"n": object()})
    found = read_snapshot(tmp_path)
    assert found is not None
    assert found[1]["n"] == 1
    assert torch.equal(found[0]["w"], torch.ones(3))
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME]


def test_undo_restores_every_bit_also_of_nan_and_negative_zero(tmp_path: Path) -> None:
    odd = torch.tensor([float("nan"), -0.0, 1e-45, float("inf"), 1 / 3])
    kept = odd.clone()
    undo = Undo(tmp_path, "x")
    undo.keep({"w": odd})
    odd.zero_()
    undo.restore({"w": odd})
    assert odd.numpy().tobytes() == kept.numpy().tobytes()
