"""What one flush holds: points in columns, events in order, nothing huge, no server path."""

from __future__ import annotations

from typing import Any

from consolidation.events import STEP_TERMS
from webapp.live.frames import PAYLOAD_LIMIT
from workers.batches import FLUSH_POINTS, Batcher
from workers.metering import Reading


def points(first: int, count: int) -> dict[str, Any]:
    steps = list(range(first, first + count))
    columns: dict[str, list[Any]] = {name: [0.5] * count for name in ("t", *STEP_TERMS)}
    return {
        "kind": "points", "stage": "learning", "step": steps[-1], "progress": 0.5, "total_steps": 900,
        "points": {"step": steps, **columns},
    }  # fmt: skip


def event(kind: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "t": 1.0, "step": 0, "progress": 0.0, **more}


def test_points_of_many_lines_become_one_flush_of_at_most_256() -> None:
    batcher = Batcher(resumed=False)
    for first in range(1, 641, 64):
        batcher.add(points(first, 64))
    sizes, seen = [], []
    while not batcher.empty:
        flush = batcher.take(0.0)
        sizes.append(len(flush.payload["points"]["step"]))
        seen += flush.payload["points"]["step"]
    assert sizes == [FLUSH_POINTS, FLUSH_POINTS, 128]
    assert seen == list(range(1, 641))


def test_a_flush_is_due_after_a_tenth_of_a_second_or_at_a_change_of_stage() -> None:
    batcher = Batcher(resumed=False)
    assert not batcher.due(100.0)
    batcher.add(points(1, 3))
    assert batcher.due(100.0)
    batcher.take(100.0)
    batcher.add(points(4, 3))
    assert not batcher.due(100.05)
    assert batcher.due(100.11)
    batcher.add(event("stage_ended", stage="learning", round=1, seconds=1))
    assert batcher.due(100.01)


def test_progress_follows_and_the_first_flush_of_a_resumed_attempt_says_so() -> None:
    batcher = Batcher(resumed=True)
    batcher.add(event("log", level="info", message="Resumed.") | {"step": 400, "progress": 0.4})
    batcher.add(event("stage_started", stage="learning", round=1) | {"step": 400, "progress": 0.4})
    first = batcher.take(0.0)
    assert first.payload["resume_step"] == 400
    assert first.progress == {"progress": 0.4, "step": 400, "stage": "learning"}
    batcher.add(points(401, 2))
    second = batcher.take(1.0)
    assert "resume_step" not in second.payload
    assert (second.payload["step"], second.payload["total_steps"]) == (402, 900)


def test_viewers_get_no_server_path_and_nothing_huge() -> None:
    batcher = Batcher(resumed=False)
    batcher.add(event("snapshot", path="/secret/place/snapshot.safetensors", stage="learning"))
    batcher.add(event("decision", name="prune", kept=True, reason="x" * 500_000, detail={}))
    flush = batcher.take(0.0)
    assert [each["path"] for each in flush.snapshots] == ["/secret/place/snapshot.safetensors"]
    assert "path" not in flush.payload["events"][0]
    assert flush.payload["events"][1]["kind"] == "log"
    assert len(str(flush.payload)) < PAYLOAD_LIMIT


def test_many_large_events_are_spread_over_flushes() -> None:
    batcher = Batcher(resumed=False)
    for index in range(40):
        batcher.add(event("log", level="info", message=f"{index} " + "x" * 15_000))
    seen = []
    while not batcher.empty:
        flush = batcher.take(0.0)
        assert len(str(flush.payload)) < PAYLOAD_LIMIT
        seen += [int(each["message"].split()[0]) for each in flush.payload["events"]]
    assert seen == list(range(40))


def reading(wh: float) -> Reading:
    return Reading(
        cpu=0.5, memory=1000, gpu=None, gpu_memory=None, watts=10.0, energy_wh=wh, source="estimated"
    )


def test_looks_at_the_device_are_put_on_the_engines_clock_and_kept_in_the_cycles_row() -> None:
    batcher = Batcher(resumed=False)
    batcher.measure(reading(0.1), 50.0)  # nothing runs yet
    assert batcher.empty
    batcher.add(event("log", level="info", message="It begins.") | {"t": 2.0}, 100.0)
    batcher.measure(reading(0.2), 100.5)
    flush = batcher.take(100.6)
    assert flush.payload["device"]["t"] == [2.5]
    assert flush.payload["device"]["cpu"] == [0.5]
    assert flush.payload["energy"] == {"wh": 0.2, "source": "estimated"}
    assert (flush.progress["energy_wh"], flush.progress["energy_source"]) == (0.2, "estimated")
    batcher.measure(reading(0.3), 101.5)
    assert not batcher.empty and batcher.due(101.5)
    assert batcher.take(101.5).payload["device"]["t"] == [3.5]
    assert batcher.empty
