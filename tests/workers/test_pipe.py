"""The pipe between trainer and supervisor: never blocks the one, never believes the other too much."""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING, Any

from workers import events_pipe
from workers.events_pipe import EventPipe
from workers.telling import Teller, finite

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def read_all(pipe: EventPipe) -> list[dict[str, Any]]:
    found = []
    while not pipe.ended:
        pipe.wait(1)
        found += pipe.take()
    return found


def test_steps_are_gathered_and_stay_in_order(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    pipe = EventPipe(reading, tmp_path / "spool")
    pipe.start()
    teller = Teller(writing)
    for step in range(1, 301):
        teller.event(
            {"kind": "step", "step": step, "t": 0.0, "progress": 0.1, "stage": "x", "loss": math.nan}
        )
    teller.event({"kind": "stage_ended", "step": 300})
    teller.tell({"kind": "result", "files": {}})
    os.close(writing)
    events = read_all(pipe)
    assert [step for each in events[:-1] for step in each["points"]["step"]] == list(range(1, 301))
    assert len(events) < 20
    assert set(events[0]["points"]["loss"]) == {None}
    assert events[-1]["kind"] == "stage_ended"
    assert pipe.final == {"kind": "result", "files": {}}


def test_what_does_not_fit_into_memory_waits_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_pipe, "IN_MEMORY", 50)
    reading, writing = os.pipe()
    pipe = EventPipe(reading, tmp_path / "spool")
    pipe.start()
    for index in range(400):
        os.write(writing, json.dumps({"kind": "log", "n": index}).encode() + b"\n")
    os.close(writing)
    pipe.join(5)
    assert (tmp_path / "spool").stat().st_size > 0
    assert [event["n"] for event in read_all(pipe)] == list(range(400))
    assert not (tmp_path / "spool").exists()


def test_noise_on_the_pipe_is_no_event(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    pipe = EventPipe(reading, tmp_path / "spool")
    pipe.start()
    os.write(writing, b'hello\n[1]\n{"kind": 3}\n\xff\xfe\n{"kind": "log"}\n{"kind": "log", "cut')
    os.close(writing)
    assert read_all(pipe) == [{"kind": "log"}]


def test_a_supervisor_that_is_gone_does_not_disturb_the_engine() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    teller = Teller(writing)
    teller.tell({"kind": "log"})
    os.close(writing)


def test_only_what_json_knows() -> None:
    told = finite({"a": [1.5, math.inf, None, True], 2: object})
    assert told["a"] == [1.5, None, None, True]
    json.dumps(told, allow_nan=False)
