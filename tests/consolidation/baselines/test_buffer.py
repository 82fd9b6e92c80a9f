"""The reservoir of ER and DER++: uniform, counted once, exact."""

from __future__ import annotations

import numpy as np
import torch

from consolidation.baselines.buffer import ReplayBuffer
from consolidation.baselines.er import ExperienceReplay
from tests.consolidation.baselines.worlds import CLASSES, make_setting, task_data


def test_every_item_of_the_stream_is_held_with_the_same_chance() -> None:
    # 40 items, 10 places, 600 streams: the count of each item is binomial(600, 1/4)
    data = task_data(0, 40)
    marked = data.x.clone()
    marked[:, 0] = torch.arange(40, dtype=torch.uint8)
    data = type(data)(name="t", x=marked, y=data.y, classes=data.classes)
    held = np.zeros(40)
    for seed in range(600):
        buffer = ReplayBuffer(make_setting(seed=seed), 10, logits=False)
        for rows in torch.arange(40).split(7):  # type: ignore[no-untyped-call]
            buffer.offer(data, rows)
        held[buffer.x[:, 0].numpy()] += 1
    chi_square = float(((held - 150) ** 2 / 150).sum() / (1 - 10 / 40))
    assert held.sum() == 6000
    assert chi_square < 72.1  # 39 degrees of freedom, p = .001


def test_an_item_is_counted_once_however_many_epochs_show_it() -> None:
    method = ExperienceReplay(make_setting(epochs=3))
    method.learn(0, task_data(0))
    method.learn(1, task_data(1))
    assert method.buffer.seen == 2 * 96


def test_what_is_drawn_is_what_was_offered_with_its_label_and_logits() -> None:
    setting, data = make_setting(), task_data(1)
    buffer = ReplayBuffer(setting, 20, logits=True)
    logits = torch.randn(20, CLASSES)
    buffer.offer(data, torch.arange(30, 50), logits)
    drawn = buffer.draw(20)
    inputs = setting.inputs(data.raw(torch.arange(30, 50)))
    for x, y, z in zip(drawn.x, drawn.y, drawn.z, strict=True):
        (place,) = torch.nonzero((inputs == x).all(1) & (logits == z).all(1)).flatten().tolist()
        assert y == data.y[30 + place]


def test_a_draw_repeats_nothing_and_never_asks_for_more_than_there_is() -> None:
    buffer = ReplayBuffer(make_setting(), 20, logits=False)
    buffer.offer(task_data(0), torch.arange(12))
    assert len(buffer.draw(50).y) == 12
    assert len(torch.unique(buffer.draw(12).x, dim=0)) == 12


def test_bytes_are_those_of_the_published_float32_memories() -> None:
    buffer = ReplayBuffer(make_setting(), 20, logits=True)
    buffer.offer(task_data(0), torch.arange(96), torch.zeros(96, CLASSES))
    assert buffer.stored_bytes() == 20 * (4 * 12 + 4 + 4 * CLASSES)
