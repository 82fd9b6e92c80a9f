"""Expired and deleted memories are not used, and what was deleted is no longer in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from consolidation.cycle import sleep
from consolidation.errors import NocturneInputError
from consolidation.memory.rights import Words
from consolidation.memory.store import Records, live_sets
from tests.consolidation.helpers import make_records, make_world

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
