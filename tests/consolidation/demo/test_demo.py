"""The demo is real: it learns, forgets and recovers, here and now."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from consolidation.demo import digits
from consolidation.demo.headless import run_demo
from consolidation.memory.store import Records
from consolidation.weights import load_model
from tests.consolidation.helpers import Recorder


def test_five_days_and_a_night(tmp_path: Path) -> None:
    heard = Recorder()
    result = run_demo(heard, tmp_path)
    learned = [verdict["metrics"]["after"]["newest"] for verdict in heard.of("verdict")[:5]]
    assert min(learned) > 0.93
    assert 0.3 < result["before"]["retention"] < 0.7
    assert result["before"]["forgetting"] > 0.25
    assert result["after"]["retention"] > 0.93
    assert result["after"]["forgetting"] < 0.08
    assert result["verdict"] == "improved"
    assert set(result) == {"before", "after", "verdict", "seconds"}
    for name in ("before", "after"):
        assert load_model(tmp_path / f"{name}.safetensors").nocturne_family == "mlp"


def test_tasks_are_fixed_shuffled_and_held_apart(tmp_path: Path) -> None:
    seen = []
    for index, name in enumerate(digits.TASKS):
        task, again = digits.demo_task(index), digits.demo_task(index)
        assert task.name == task.train.task == name
        assert (len(task.train), len(task.probe)) == (1297, 500)
        assert np.array_equal(task.train.x, again.train.x)
        held_out = {row.tobytes() for row in task.probe.ids}
        assert not held_out & {row.tobytes() for row in task.train.ids}
        seen.append(np.sort(task.train.x.sum(0).astype(int)).tobytes() + task.train.x[0].tobytes())
    assert len(set(seen)) == 5
    files = digits.write_task(2, tmp_path)
    assert Records.open(files["train"]).task == digits.TASKS[2]


def test_the_data_is_what_the_licence_says() -> None:
    with np.load(Path(digits.__file__).with_name("digits.npz"), allow_pickle=False) as data:
        x, y = data["x"], data["y"]
    assert (x.shape, x.dtype, x.max()) == ((1797, 8, 8), np.uint8, 16)
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    licence = Path(digits.__file__).with_name("LICENSE.md").read_text()
    assert "CC BY 4.0" in licence
