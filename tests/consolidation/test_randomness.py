"""A net with Dropout: one seed, one day; resumed is unbroken; the caller's own stream is not touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from consolidation.cycle import sleep
from consolidation.errors import Stopped
from consolidation.families import wrap
from consolidation.recipe import preset
from consolidation.waking import wake
from tests.consolidation.families_helpers import picture_records
from tests.consolidation.helpers import bits, wake_recipe

if TYPE_CHECKING:
    from pathlib import Path

PROBES = [picture_records(0, 40, 2)]


def net() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(192, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 4))
    return wrap(layers, 192, 4)


def day(seed: int, folder: Path | None = None, stop: Any = None) -> dict[str, bytes]:
    model = net()
    torch.seed()  # whatever was drawn outside must not matter
    wake(model, picture_records(0, 60, 1), PROBES, wake_recipe(seed=seed), workdir=folder, stop=stop)
    return bits(model)


def test_one_seed_is_one_day() -> None:
    assert day(3) == day(3) != day(4)


@pytest.mark.parametrize("at", [4, 9])
def test_a_day_with_dropout_is_resumed_bit_for_bit(at: int, tmp_path: Path) -> None:
    left = iter(range(at))
    with pytest.raises(Stopped):
        day(3, tmp_path, lambda: None if next(left, None) is not None else "stop")
    assert day(3, tmp_path) == day(3)


def test_the_caller_s_own_stream_goes_on_as_if_nothing_had_been_drawn() -> None:
    model = net()
    torch.manual_seed(8)
    expected = torch.rand(3)
    torch.manual_seed(8)
    wake(model, picture_records(0, 60, 1), PROBES, wake_recipe())
    sleep(model, [picture_records(0, 40, 1)], PROBES, preset("nap", lr=0.01, passes=1, fisher_samples=10))
    assert torch.equal(torch.rand(3), expected)
