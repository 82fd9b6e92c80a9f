"""A night as a whole: its order, its honesty, its answers to bad input."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from consolidation.answers import unpack
from consolidation.cycle import sleep
from consolidation.errors import NocturneInputError
from consolidation.events import STAGES_SLEEP, Event
from consolidation.guard import paired_gains
from consolidation.memory.store import Records
from consolidation.probes import split
from consolidation.scoring import score
from consolidation.waking import wake
from consolidation.weights import new_model
from tests.consolidation.helpers import (
    CONFIG,
    TASKS,
    Recorder,
    World,
    bits,
    hooks,
    make_records,
    make_world,
    wake_recipe,
)

if TYPE_CHECKING:
    from pathlib import Path


def run(world: World, **more: Any) -> Any:
    return sleep(world.model, world.memories, world.probes, world.recipe, reference=world.reference, **more)


def test_the_stages_come_in_order_and_events_are_json() -> None:
    world, heard = make_world(rounds=2), Recorder()
    report = run(world, on_event=heard)
    stages = [(s["stage"], s["round"]) for s in heard.of("stage_started")]
    middle = [(stage, number) for number in (1, 2) for stage in STAGES_SLEEP[2:6]]
    assert stages == [("wake probe", 1), ("merging", 1), *middle, ("morning probe", 1)]
    assert stages == [(s["stage"], s["round"]) for s in heard.of("stage_ended")]
    for event in heard.events:
        body = event.to_json()
        assert json.loads(json.dumps(body, allow_nan=False)) == body
        assert {"kind", "t", "step", "progress"} <= set(body)
    assert [event.progress for event in heard.events] == sorted(event.progress for event in heard.events)
    assert heard.of("step")[-1]["step"] == heard.of("step")[-1]["total_steps"] == report.steps
    [verdict] = heard.of("verdict")
    assert verdict["verdict"] == report.verdict
    json.dumps(report.to_json(), allow_nan=False)


def test_two_runs_with_one_seed_are_identical_and_another_seed_is_not() -> None:
    first, second, other = make_world(), make_world(), make_world(seed=4)
    heard = [Recorder(), Recorder()]
    for world, listener in zip((first, second), heard, strict=True):
        run(world, on_event=listener)
    run(other)
    assert bits(first.model) == bits(second.model)
    assert bits(first.model) != bits(other.model)
    losses = [[step["loss"] for step in listener.of("step")] for listener in heard]
    assert losses[0] == losses[1]


def test_the_global_random_streams_are_neither_read_nor_moved() -> None:
    world = make_world()
    torch.manual_seed(1)
    np.random.seed(1)
    state = torch.get_rng_state()
    run(world)
    assert torch.equal(torch.get_rng_state(), state)


class Spied(Records):
    """Records that note which of their rows are read."""

    log: list[tuple[str, set[int]]]

    def inputs(self, rows: Any = slice(None)) -> Any:
        self.log.append((self.task, set(np.arange(len(self))[rows].tolist())))
        return super().inputs(rows)


def test_proof_is_read_in_the_evening_and_in_the_morning_and_never_in_between() -> None:
    log: list[tuple[str, set[int]]] = []
    world = make_world(rounds=2, lr=None)
    spied = []
    for records in world.probes:
        spy = Spied(
            task=records.task, x=records.x, y=records.y, classes=4, transform=records.transform
        )  # fmt: skip
        spy.log = log
        spied.append(spy)
    world.probes = list(spied)
    proof = {records.task: set(split(records)[1].tolist()) for records in spied}
    watch = {records.task: set(split(records)[0].tolist()) for records in spied}
    where: dict[str, list[tuple[str, set[int]]]] = {}
    stage = ""

    def listen(event: Event) -> None:
        nonlocal stage
        where.setdefault(stage, []).extend(log)
        log.clear()
        stage = getattr(event, "stage", stage)

    run(world, on_event=listen)
    where.setdefault(stage, []).extend(log)
    # Before the first stage whole probes are compared with the memories, so that nothing is in both.
    for task, rows in where.pop(""):
        assert rows in (proof[task] | watch[task], proof[task], watch[task])
    read_in = {name for name, reads in where.items() if any(rows & proof[task] for task, rows in reads)}
    assert read_in == {"wake probe", "morning probe"}
    between = [rows for name in ("NREM replay", "merging", "downscaling") for _, rows in where[name]]
    assert between  # the spy does see what steers
    for name, reads in where.items():
        for task, rows in reads:
            assert rows in (proof[task], watch[task]), name


def test_the_split_is_by_hash_bounded_and_the_same_for_any_order() -> None:
    records = make_records(0, 900, 5)
    watch, proof = split(records)
    assert len(watch) == 200
    assert len(watch) + len(proof) == 900
    order = np.random.default_rng(0).permutation(900)
    shuffled_watch, _ = split(records.take(order))
    assert {records.ids[i].tobytes() for i in watch} == {
        records.ids[order][i].tobytes() for i in shuffled_watch
    }
    twice = records.take(np.repeat(np.arange(40), 2))
    sides = [{twice.ids[i].tobytes() for i in side} for side in split(twice)]
    assert not sides[0] & sides[1]


def test_figures_can_be_recomputed_from_the_stored_answers() -> None:
    report = run(make_world())
    before, after = (unpack(report.correct[when], report.counts) for when in ("before", "after"))
    for task in TASKS:
        assert report.after[task] == pytest.approx(float(after[task].mean()))
    mean, _ = paired_gains(before, after, confidence=0.95, seed=3)
    assert mean is not None
    assert report.gain["mean"] == mean._asdict()


def test_history_gives_retention_and_without_it_there_is_none() -> None:
    past = {"label": "v1", "kind": "wake", "scores": {"first": 1.0, "second": 1.0, "third": 1.0}}
    with_past = run(make_world(), history=[past, past, past])
    assert with_past.metrics["before"]["retention"] is not None
    assert len(with_past.matrix) == 5
    assert with_past.rows == 2
    without = run(make_world())
    assert without.metrics["before"]["retention"] is None
    assert [row.kind for row in without.matrix] == ["score", "sleep"]
    goes_on = run(make_world(), history=[past, without.matrix[0]])
    assert goes_on.rows == 1  # the evening is the history's own last row


def test_everything_is_left_as_it_was_found(tmp_path: Path) -> None:
    world = make_world()
    files = [r.save(tmp_path / f"{i}.safetensors") for i, r in enumerate([*world.memories, *world.probes])]
    world.memories, world.probes = files[:3], files[3:]
    content = {path: path.read_bytes() for path in tmp_path.glob("*.safetensors")}
    reference = bits(world.reference)
    world.model.train()
    run(world, workdir=tmp_path / "work")
    assert hooks(world.model) == hooks(world.reference) == 0
    assert world.model.training
    assert all(parameter.grad is None for parameter in world.model.parameters())
    assert bits(world.reference) == reference
    for path, data in content.items():
        assert path.read_bytes() == data
    assert not list((tmp_path / "work").glob("undo-*"))


def test_mapped_and_loaded_records_give_the_same_bits(tmp_path: Path) -> None:
    loaded, mapped = make_world(), make_world()
    mapped.memories = [r.save(tmp_path / f"{i}") for i, r in enumerate(mapped.memories)]
    run(loaded)
    run(mapped)
    assert bits(loaded.model) == bits(mapped.model)


def test_without_probes_the_memories_judge_proposals_and_nothing_is_proven() -> None:
    world, heard = make_world(min_gain=1.0, passes=40.0), Recorder()
    world.probes = []
    report = run(world, on_event=heard)
    assert report.verdict == "unchanged"
    assert "no probes" in report.reasons[0]
    assert not heard.of("probe")
    assert [log["level"] for log in heard.of("log") if "no probes" in log["message"]] == ["warning"]
    decisions = {d["name"]: d for d in heard.of("decision")}
    assert set(decisions) == {"merge", "prune", "strengthen", "dream"}  # and no early stop
    assert "on the memories" in decisions["prune"]["reason"]
    assert set(decisions["prune"]["detail"]["before"]) == set(TASKS)


def test_without_probes_a_proposal_that_breaks_the_memories_is_taken_back() -> None:
    world, heard = make_world(passes=30.0, prune=0.9, prune_cap=1.0, dream=0.0), Recorder()
    world.probes = []
    run(world, on_event=heard)
    [prune] = [d for d in heard.of("decision") if d["name"] == "prune"]
    assert not prune["kept"]
    assert prune["reason"].startswith("Reverted")


def test_a_memory_that_is_in_a_probe_is_left_out() -> None:
    world, heard = make_world(passes=1.0), Recorder()
    world.memories[0] = world.memories[0].take(np.arange(5, 40))
    clean = copy.deepcopy(world)
    leak = clean.probes[0].take(np.arange(10))
    mixed = Records(
        task="first", x=np.concatenate([world.memories[0].x, leak.x]), classes=4,
        y=np.concatenate([world.memories[0].y, leak.y]), transform=leak.transform,
    )  # fmt: skip
    clean.memories[0] = Records(
        task="first", x=world.memories[0].x, y=world.memories[0].y, classes=4, transform=leak.transform
    )  # fmt: skip
    world.memories[0] = mixed
    run(world, on_event=heard)
    run(clean)
    assert "10 memories are in the probes too" in heard.of("log")[0]["message"]
    assert bits(world.model) == bits(clean.model)


def refused(world: World, **more: Any) -> NocturneInputError:
    before = bits(world.model)
    with pytest.raises(NocturneInputError) as caught:
        run(world, **more)
    assert bits(world.model) == before
    return caught.value


def test_bad_input_is_one_sentence_with_a_code() -> None:
    world = make_world()
    wide = Records(task="first", x=np.zeros((4, 9), np.uint8), y=np.array([0, 1, 2, 3]), classes=4)
    world.memories[0] = wide
    error = refused(world)
    assert error.code == "records.width"
    assert error.message.startswith("The memories of 'first' have 9 numbers each; the model takes 8. ")

    world = make_world()
    world.probes[1] = Records(
        task="second", x=np.zeros((4, 8), np.uint8), y=np.array([0, 1, 2, 7]), classes=8
    )
    assert refused(world).code == "records.classes"

    world = make_world()
    world.memories = []
    assert refused(world).code == "memories.empty"

    world = make_world()
    world.probes.append(world.probes[0])
    assert refused(world).code == "probes.duplicate"

    world = make_world()
    world.probes[0] = world.probes[0].take(np.array([3]))
    assert refused(world).code == "probes.too_small"

    world = make_world()
    x = np.zeros((4, 8), np.float32)
    x[2, 1] = np.nan
    world.memories[0] = Records(task="first", x=x, y=np.array([0, 1, 2, 3]), classes=4)
    error = refused(world)
    assert error.code == "records.non_finite"
    assert "Record 2 " in error.message

    world = make_world()
    with torch.no_grad():
        world.model.get_parameter("a.1.bias")[3] = float("inf")
    error = refused(world)
    assert error.code == "weights.non_finite"
    assert "a.1.bias" in error.message

    assert refused(make_world(), history=[{"kind": "wake"}]).code == "history.row"


def test_a_wake_learns_and_keeps_memories_with_its_own_logits() -> None:
    model, heard = new_model("mlp", CONFIG, 1), Recorder()
    data, probe = make_records(0, 120, 1), make_records(0, 60, 2)
    report = wake(model, data, [probe], wake_recipe(epochs=30), on_event=heard)
    assert report.verdict == "improved"
    assert report.after["first"] > 0.9
    assert report.matrix[-1].to_json() | {"scores": None} == {
        "label": "after wake", "kind": "wake", "scores": None, "task": "first",
    }  # fmt: skip
    assert [s["stage"] for s in heard.of("stage_started")] == ["wake probe", "learning", "morning probe"]
    kept = report.memories
    assert kept is not None
    assert len(kept) == 30
    assert kept.z is not None
    with torch.no_grad():
        logits = model(torch.from_numpy(kept.inputs()))
    assert np.allclose(kept.z.astype(np.float32), logits.numpy(), rtol=2e-3, atol=2e-3)
    counts = np.bincount(kept.y, minlength=4)
    assert counts.max() - counts.min() <= 1


def test_scoring_changes_nothing() -> None:
    world = make_world()
    before = bits(world.model)
    report = score(world.model, world.probes)
    assert bits(world.model) == before
    assert (report.kind, report.verdict, report.before) == ("score", None, {})
    assert set(report.after) == set(TASKS)
    assert [row.kind for row in report.matrix] == ["score"]
    with pytest.raises(NocturneInputError) as caught:
        score(world.model, [])
    assert caught.value.code == "probes.empty"
