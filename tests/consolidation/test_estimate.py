"""What a night is said to cost against what it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from consolidation.cycle import sleep
from consolidation.dry_run import dry_run
from consolidation.errors import NocturneInputError
from consolidation.estimate import DryRun, decoder_numbers, estimate, hidden_numbers, replay_budget
from consolidation.families.adapter import adapter_of
from consolidation.fit import io_widths
from consolidation.memory.store import Records
from consolidation.phases.reconstructing import LinearDecoders
from consolidation.recipe import preset
from consolidation.weights import new_model, save_fisher, save_model
from tests.bench.sections import engine_estimate
from tests.bench.sections.engine_estimate import peak, told
from tests.consolidation.helpers import bits, hooks, make_world

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
        {"passes": 3.0, "anchor": 0.5, "prune_mode": "mask", "prune": 0.05},
        {"passes": 3.0, "reconstruct": "linear-decoder"},
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

    anchored = world.recipe.anchor > 0
    report = sleep(
        model, world.memories, world.probes, world.recipe, workdir=work, on_event=measure,
        reference=new_model("mlp", BIG, 1) if anchored else None,
    )  # fmt: skip
    told = estimate(world.recipe, family="mlp", config=BIG, memories=[40, 40, 40], reference=anchored)
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


RESNET: dict[str, Any] = {"architecture": "resnet18", "width": 4, "classes": 3}
CONV: dict[str, Any] = {"convolutions": [6, 4], "activation": "relu", "classes": 5}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "mlp": ("mlp", BIG),
    "cnn": ("cnn", {**CONV, "input": [3, 12, 8]}),
    "resnet18": ("vision", {**RESNET, "stem": "cifar", "input": [3, 33, 32]}),
    "resnet18, imagenet stem": ("vision", {**RESNET, "stem": "imagenet", "input": [3, 50, 64]}),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_dry_run_tells_sizes_and_minutes_and_changes_nothing(name: str) -> None:
    """What the arithmetic says of a family's hidden numbers is what a real pass gives."""
    family, config = MODELS[name]
    model = new_model(family, config, 0)
    width, classes = io_widths(model)
    rng = np.random.default_rng(0)
    records = Records(
        task="t", x=rng.integers(0, 256, (20, width), dtype=np.uint8), y=rng.integers(0, classes, 20),
        classes=classes,
    )  # fmt: skip
    recipe = preset("night", batch=8, passes=10.0, fisher_samples=16, reconstruct="linear-decoder")
    before = bits(model)
    ran = dry_run(model, [records], recipe)
    assert bits(model) == before
    assert hooks(model) == 0
    assert ran.hidden == hidden_numbers(family, config)
    blocks, inputs = adapter_of(model).blocks(model), io_widths(model)[0]
    decoders = LinearDecoders(model, blocks, inputs, torch.device("cpu"))
    assert decoder_numbers(family, config) == sum(w.numel() for w in decoders.weights.values())
    assert ran.parameters == sum(p.numel() for p in model.parameters())
    found = estimate(recipe, family=family, config=config, memories=[20], dry_run=ran)
    assert found.minutes == pytest.approx((25 + 2) * ran.seconds_per_step / 60)
    assert estimate(recipe, family=family, config=config, memories=[20]).minutes is None


def test_without_known_sizes_a_dry_run_is_asked_for() -> None:
    config = {
        "architecture": "timm/vit_tiny_patch16_224",
        "input": [3, 224, 224],
        "layout": "chw",
        "classes": 9,
    }
    with pytest.raises(NocturneInputError, match="Do a dry run") as caught:
        estimate(preset("night"), family="vision", config=config, memories=[10])
    assert caught.value.code == "estimate.shapes"
    known = DryRun(0.5, 5_000_000, 100_000)
    assert estimate(preset("night"), family="vision", config=config, memories=[10], dry_run=known).minutes


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process's peak")
@pytest.mark.parametrize("case", ["mlp, small", "mlp, 19 M", "cnn", "bert, 2 M, adamw"])
def test_memory_at_its_highest_is_within_a_quarter(case: str) -> None:
    """Of a process of its own that does a short night."""
    assert told(case) == pytest.approx(peak(case), rel=0.25)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process's peak")
def test_memories_that_stay_in_memory_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 of 784 numbers: 64 MB as the floats that the model is given."""
    monkeypatch.setattr(engine_estimate, "EACH", 10_000)
    code = "import tests.bench.sections.engine_estimate as e\n"
    code += "e.EACH, e.STEPS = 10_000, 8\ne.alone('mlp, small')"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert told("mlp, small") == pytest.approx(int(done.stdout), rel=0.25)
    assert told("mlp, small") > 300e6
