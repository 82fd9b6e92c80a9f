"""Dreams: what goes through the model at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consolidation.cycle import sleep
from consolidation.phases.dreaming import DreamLoss
from tests.consolidation.helpers import make_world

if TYPE_CHECKING:
    import pytest

    from consolidation.memory.sampling import Batch
    from consolidation.phases.accumulating import Terms


def test_dreams_keep_to_the_micro_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    whole = DreamLoss.__call__

    def watched(self: DreamLoss, batch: Batch) -> Terms:
        seen.append(len(batch.y))
        return whole(self, batch)

    monkeypatch.setattr(DreamLoss, "__call__", watched)
    world = make_world(passes=2, dream=0.3, micro_batch=5)
    sleep(world.model, world.memories, world.probes, world.recipe)
    assert set(seen) == {5, 1}
