"""What was learned by day helps in the night, while it is at hand."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from consolidation.cycle import sleep
from consolidation.day import day_sample, night_sets, remember_day
from consolidation.errors import NocturneInputError
from consolidation.memory.store import Records
from consolidation.snapshot import tensors_digest
from tests.consolidation.helpers import World, make_records, make_world

if TYPE_CHECKING:
    from pathlib import Path

    from consolidation.events import Event


def night(world: World, awake: Records | None, **more: Any) -> str:
    model = copy.deepcopy(world.model)
    sleep(model, world.memories, world.probes, world.recipe, reference=world.reference, awake=awake, **more)
    return tensors_digest(model.state_dict())


def test_the_sample_is_as_large_as_asked_and_holds_nothing_of_a_probe() -> None:
    world = make_world(fresh=50)
    probe = world.probes[2]
    both = Records(
        task=probe.task,
        x=np.concatenate([make_records(2, 30, 5).x, probe.x]),
        y=np.concatenate([make_records(2, 30, 5).y, probe.y]),
        classes=4,
        transform=probe.transform,
    )
    sample = day_sample(world.model, both, world.probes, world.recipe)
    assert sample is not None and 0 < len(sample) < 50
    held_out = {row.tobytes() for row in probe.inputs()}
    assert not held_out & {row.tobytes() for row in sample.inputs()}

    roomy = day_sample(world.model, make_records(2, 300, 5), [], world.recipe)
    assert roomy is not None and len(roomy) == 50


def test_training_records_that_are_all_probes_are_refused_with_a_sentence() -> None:
    world = make_world()
    with pytest.raises(NocturneInputError, match="in the probes too") as refused:
        night(world, world.probes[2])
    assert refused.value.code == "memories.empty"


def test_the_sample_stands_for_its_tasks_memories_with_the_awake_models_logits() -> None:
    class Kept:
        def __init__(self, world: World) -> None:
            self.model, self.device = world.model, torch.device("cpu")
            self.kept: dict[str, torch.Tensor] = {}
            self.outputs = 4

    world = make_world()
    run: Any = Kept(world)
    day = make_records(2, 25, 5)
    assert night_sets(run, world.memories, None) is world.memories
    remember_day(run, day)
    sets = night_sets(run, world.memories, day)
    assert [records.task for records in sets] == ["first", "second", "third"]
    assert sets[:2] == world.memories[:2]
    z = world.model(torch.from_numpy(day.inputs())).detach().numpy()
    assert sets[2].z is not None
    np.testing.assert_allclose(sets[2].z.astype(np.float32), z, rtol=1e-3, atol=1e-3)


def test_a_night_with_the_day_at_hand_is_another_night_and_the_same_each_time() -> None:
    world, day = make_world(), make_records(2, 300, 5)
    without = night(world, None)
    assert night(world, day) == night(world, day) != without
    assert night(make_world(fresh=0), day) == night(make_world(fresh=0), None)


def test_the_night_says_once_that_it_uses_the_day(tmp_path: Path) -> None:
    def told(world: World, awake: Records | None, **more: Any) -> list[str]:
        heard: list[Event] = []
        night(world, awake, on_event=heard.append, **more)
        lines = [event.to_json() for event in heard if event.kind == "log"]
        return [line["message"] for line in lines if "at hand" in line["message"] and line["level"] == "info"]

    day = make_records(2, 300, 5)
    [line] = told(make_world(fresh=120), day)
    assert "120 training records of 'third'" in line
    assert told(make_world(), None) == told(make_world(fresh=0), day) == []

    world = make_world(snapshot_every_steps=4)

    class Killed(Exception):
        pass

    def kill(event: Event) -> None:
        if event.kind == "step" and event.step == 9:
            raise Killed

    with pytest.raises(Killed):
        night(world, day, workdir=tmp_path, on_event=kill)
    assert told(world, day, workdir=tmp_path) == [], "what goes on has said it before"


@pytest.mark.parametrize("at", [3, 30, 60])
def test_killed_and_resumed_it_ends_with_the_same_bits(tmp_path: Path, at: int) -> None:
    world, day = make_world(snapshot_every_steps=4), make_records(2, 300, 5)
    whole = night(world, day)

    class Killed(Exception):
        pass

    seen = 0

    def kill(_: Event) -> None:
        nonlocal seen
        seen += 1
        if seen == at:
            raise Killed

    with pytest.raises(Killed):
        night(world, day, workdir=tmp_path, on_event=kill)
    assert night(world, day, workdir=tmp_path) == whole


def test_another_day_is_another_run_for_a_snapshot(tmp_path: Path) -> None:
    world = make_world(snapshot_every_steps=4)
    told: list[str] = []

    class Killed(Exception):
        pass

    def kill(event: Event) -> None:
        if event.kind == "step" and event.step == 9:
            raise Killed

    with pytest.raises(Killed):
        night(world, make_records(2, 300, 5), workdir=tmp_path, on_event=kill)
    night(
        world, make_records(2, 300, 6), workdir=tmp_path,
        on_event=lambda event: told.append(str(event.to_json().get("message", ""))),
    )  # fmt: skip
    assert any("another run" in line for line in told)
