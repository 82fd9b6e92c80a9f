"""What a night is said to cost against what it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from consolidation.cycle import sleep
from consolidation.estimate import estimate, replay_budget
from consolidation.recipe import preset
from consolidation.weights import new_model, save_fisher, save_model
from tests.consolidation.helpers import make_world

if TYPE_CHECKING:
    from consolidation.events import Event

BIG: dict[str, Any] = {"layers": [8, 400, 300, 4], "activation": "relu", "names": ["a", "b", "c"]}


@pytest.mark.parametrize(
    "overrides",
    [
        {"passes": 3.0},
        {"passes": 3.0, "rounds": 2, "momentum": 0.0},
        {"passes": 3.0, "optimizer": "adamw", "lr": 0.001, "average": 0.0},
        {"wake_examples": 2000, "duration": 0.2},
    ],
)
def test_steps_and_bytes_are_within_a_quarter(overrides: dict[str, Any], tmp_path: Path) -> None:
    world = make_world(snapshot_every_steps=5, **overrides)
    model = new_model("mlp", BIG, 0)
    work = tmp_path / "work"
    fullest = 0

    def measure(_event: Event) -> None:
        nonlocal fullest
        fullest = max(fullest, sum(path.stat().st_size for path in work.iterdir()))

    report = sleep(model, world.memories, world.probes, world.recipe, workdir=work, on_event=measure)
    told = estimate(world.recipe, family="mlp", config=BIG, memories=[40, 40, 40])
    assert told.steps == pytest.approx(report.steps, rel=0.25)
    assert told.work_bytes == pytest.approx(fullest, rel=0.25)
    assert report.fisher is not None
    save_model(model, tmp_path / "model.safetensors")
    save_fisher(report.fisher, tmp_path / "fisher.safetensors")
    written = sum(path.stat().st_size for path in tmp_path.glob("*.safetensors"))
    assert told.output_bytes == pytest.approx(written, rel=0.25)


def test_the_budget() -> None:
    assert replay_budget(preset("night", wake_examples=60_000, batch=32), 500).steps == 281
    assert replay_budget(preset("night", batch=50, pass_cap=0), 500) == (200, 200, False)
    capped = replay_budget(preset("night", batch=50, passes=80), 500)
    assert (capped.steps, capped.asked, capped.capped) == (500, 800, True)
    assert replay_budget(preset("deep", wake_examples=6000, batch=10), 500).steps == 150  # a round, of two
    assert replay_budget(preset("night", duration=0, wake_examples=10), 500).steps == 0


def test_what_the_web_imports_loads_no_torch() -> None:
    modules = [
        "errors",
        "recipe",
        "events",
        "metrics",
        "families.registry",
        "estimate",
        "memory.store",
        "demo.digits",
    ]
    code = "".join(f"import consolidation.{name}\n" for name in modules)
    code += "import sys\nprint('torch' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "False"
