"""Expired and deleted memories are not used, and what was deleted is no longer in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from consolidation.cycle import sleep
from consolidation.day import day_sample
from consolidation.dry_run import dry_run
from consolidation.errors import NocturneInputError
from consolidation.fit import without_probes
from consolidation.memory.budget import fit_budget
from consolidation.memory.rights import Words
from consolidation.memory.sampling import Sampler
from consolidation.memory.store import Records, live_sets
from consolidation.scoring import score
from consolidation.waking import wake
from tests.consolidation.helpers import make_records, make_world, wake_recipe

if TYPE_CHECKING:
    from pathlib import Path

CODECS = ("raw", "deflate", "columns", "q2")


def test_fields_are_kept_in_the_file(tmp_path: Path) -> None:
    made = make_records(0, 6, 1).with_rights(
        owner=Words.of("owner", ["ana", "ben", "ana", "ana", "ben", "cy"], 6),
        licence=Words.of("licence", "CC0", 6),
        group=np.array([0, 1, 0, 2, 2, 1]),
        expiry=np.array([0, 50, 0, 0, 90, 0]),
    )
    opened = made.save(tmp_path / "r")
    rights = opened.rights
    assert rights.owner is not None
    assert rights.licence is not None
    assert [rights.owner[row] for row in range(6)] == ["ana", "ben", "ana", "ana", "ben", "cy"]
    assert rights.licence[4] == "CC0"
    assert rights.purpose is None
    taken = opened.take(np.array([5, 1]))
    assert taken.rights.owner is not None
    assert [taken.rights.owner[0], taken.rights.owner[1]] == ["cy", "ben"]
    assert taken.rights.group is not None
    assert taken.rights.group.tolist() == [1, 1]


def test_live_leaves_out_what_expired_and_what_was_deleted() -> None:
    made = make_records(0, 6, 1).with_rights(expiry=np.array([0, 50, 0, 0, 90, 0]))
    assert made.live(49) is made
    left = made.tombstoned(made.ids[[0]]).live(50)
    assert left is not None
    assert np.array_equal(left.ids, made.ids[[2, 3, 4, 5]])
    assert made.tombstoned(made.ids).live(0) is None
    assert live_sets([made.tombstoned(made.ids), made], 0) == [made]


@pytest.mark.parametrize("codec", CODECS)
def test_saving_removes_the_content_of_the_deleted_and_keeps_their_ids(codec: str, tmp_path: Path) -> None:
    made = make_records(0, 40, 1, logits=True).encoded(codec)
    secret = made.ids[[3, 17]]
    opened = made.tombstoned(secret).save(tmp_path / "r")
    keep = np.setdiff1d(np.arange(40), [3, 17])
    assert np.array_equal(opened.x, made.x[keep])
    assert np.array_equal(opened.ids, made.ids[keep])
    assert opened.z is not None
    assert made.z is not None
    assert np.array_equal(opened.z, made.z[keep])
    assert np.array_equal(opened.gone, secret)
    data = (tmp_path / "r").read_bytes()
    for row in (3, 17):
        assert made.x[row].tobytes() not in data
        assert made.z[row].tobytes() not in data
    again = opened.tombstoned(made.ids[[0]]).save(tmp_path / "r2")
    assert np.array_equal(again.gone, made.ids[[3, 17, 0]])
    assert np.array_equal(again.x, made.x[keep[1:]])  # a lossy set does not move at a second deletion


def test_a_set_of_which_all_is_deleted_cannot_be_saved(tmp_path: Path) -> None:
    made = make_records(0, 3, 1)
    with pytest.raises(NocturneInputError, match="delete the set"):
        made.tombstoned(made.ids).save(tmp_path / "r")
    assert not list(tmp_path.iterdir())


def test_a_night_does_not_see_deleted_memories() -> None:
    """The same weights as when they had never been there."""
    states = []
    for without in ("deleted", "expired", "absent"):
        world = make_world(dream=0.0)
        first = world.memories[0]
        if without == "deleted":
            world.memories[0] = first.tombstoned(first.ids[:25])
        elif without == "expired":
            world.memories[0] = first.with_rights(expiry=np.where(np.arange(40) < 25, 1000, 0))
        else:
            world.memories[0] = first.take(np.arange(25, 40))
        sleep(world.model, world.memories, world.probes, world.recipe)
        states.append({name: tensor.numpy().tobytes() for name, tensor in world.model.state_dict().items()})
    assert states[0] == states[1] == states[2]


def test_nothing_is_scored_on_deleted_or_expired_probes() -> None:
    """By night, by day and in a mere scoring."""
    world = make_world(passes=0, dream=0)
    first = world.probes[0]
    probes = [
        first.tombstoned(first.ids[:20]),
        world.probes[1].with_rights(expiry=np.where(np.arange(60) < 30, 1000, 0)),
        world.probes[2].with_rights(expiry=np.full(60, 1000)),
    ]
    kept = [first.take(np.arange(20, 60)), world.probes[1].take(np.arange(30, 60))]
    night = sleep(world.model, world.memories, probes, world.recipe)
    same = sleep(make_world().model, world.memories, kept, world.recipe)
    assert night.tasks == ["first", "second"]
    assert (night.counts, night.correct) == (same.counts, same.correct)
    assert score(world.model, probes).counts == night.counts
    assert wake(world.model, make_records(0, 40, 1), probes, wake_recipe(epochs=1)).counts == night.counts
    with pytest.raises(NocturneInputError, match="deleted or have expired"):
        score(world.model, probes[2:])


def test_a_lossy_set_with_an_expired_record_is_still_told_from_a_probe() -> None:
    made = make_records(0, 30, 1)
    lossy = made.encoded("q1").with_rights(expiry=np.where(np.arange(30) < 5, 1000, 0))
    left, dropped = without_probes([lossy], [made.take(np.arange(12))], "memories")
    assert (len(left[0]), dropped) == (18, 7)


def test_a_dry_run_a_day_and_a_budget_do_not_see_the_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(fresh=50)
    dead = world.memories[0].ids[:39]
    seen: list[int] = []
    whole = Sampler.__init__

    def watched(self: Sampler, sets: list[Records], *more: object, **others: object) -> None:
        seen.extend(len(records) for records in sets)
        whole(self, sets, *more, **others)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(Sampler, "__init__", watched)
        dry_run(world.model, [world.memories[0].tombstoned(dead)], world.recipe)
        with pytest.raises(NocturneInputError) as refused:
            dry_run(world.model, [world.memories[0].tombstoned(world.memories[0].ids)], world.recipe)
    assert seen == [1]
    assert refused.value.code == "memories.empty"

    awake = make_records(2, 80, 5).with_rights(expiry=np.where(np.arange(80) < 60, 1000, 0))
    sample = day_sample(world.model, awake, [], world.recipe)
    assert sample is not None
    assert np.array_equal(sample.ids, awake.ids[60:])
    assert day_sample(world.model, awake.tombstoned(awake.ids), [], world.recipe) is None

    one, two = make_records(0, 40, 1), make_records(1, 40, 1)
    fitted = fit_budget([one.tombstoned(one.ids[:30]), two], 10**6)
    assert [len(records) for records in fitted] == [10, 40]
    with pytest.raises(NocturneInputError, match="leave the set out"):
        fit_budget([one.tombstoned(one.ids), two], 10**6)


def test_a_night_on_nothing_but_deleted_memories_is_refused() -> None:
    world = make_world()
    gone = [records.tombstoned(records.ids) for records in world.memories]
    with pytest.raises(NocturneInputError) as caught:
        sleep(world.model, gone, world.probes, world.recipe)
    assert caught.value.code == "memories.empty"


def test_fields_that_do_not_line_up_are_refused() -> None:
    made = make_records(0, 4, 1)
    with pytest.raises(NocturneInputError, match="group"):
        made.with_rights(group=np.zeros(3, np.int64))
    with pytest.raises(NocturneInputError, match="one for each of 4 records"):
        Words.of("owner", ["ana"], 4)
    with pytest.raises(NocturneInputError, match="owner"):
        made.with_rights(owner=Words(("ana",), np.array([0, 0, 0, 1], np.uint16)))


def test_a_plain_set_is_written_as_before(tmp_path: Path) -> None:
    """Version 1, which `formats/records.py` writes and older programs read."""
    make_records(0, 4, 1).save(tmp_path / "r")
    head = (tmp_path / "r").read_bytes()[:600]
    assert b'\\"version\\": 1' in head
    assert Records.open(tmp_path / "r").packed is None
