"""What a wake is said to cost against what it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from consolidation.errors import NocturneInputError
from consolidation.estimate import DryRun
from consolidation.families.registry import family_spec
from consolidation.recipe import WakeRecipe
from consolidation.wake_estimate import last_numbers, score_estimate, wake_estimate, widest_numbers
from consolidation.weights import new_model, save_model

MLP: dict[str, Any] = {"layers": [64, 3000, 3000, 10], "activation": "relu", "names": ["a", "b", "c"]}
CNN: dict[str, Any] = {
    "convolutions": [16, 32], "activation": "relu", "norm": True, "hidden": [64], "classes": 10,
    "input": [3, 32, 32], "layout": "chw",
}  # fmt: skip
# name: (family, config, recipe, rows)
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], int]] = {
    "mlp": ("mlp", MLP, {"optimizer": "adamw", "lr": 1e-4, "batch": 64}, 256),
    "cnn": ("cnn", CNN, {"lr": 0.01, "batch": 128, "momentum": 0.9}, 512),
    "cnn, herding": ("cnn", CNN, {"lr": 0.01, "batch": 16, "selection": "herding"}, 1200),
}


def told(case: str) -> Any:
    family, config, recipe, rows = CASES[case]
    width = family_spec(family).input_width(family_spec(family).validate_config(config))
    return wake_estimate(
        WakeRecipe(**recipe), family=family, config=config, rows=rows, record_bytes=width + 24
    )


# A process of its own, which does one short wake; it prints its peak and the fullest of its work folder.
ALONE = """
import sys, tempfile
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
from consolidation.families.registry import family_spec
from consolidation.memory.store import Records
from consolidation.recipe import WakeRecipe
from consolidation.waking import wake
from consolidation.weights import new_model
from tests.bench.sections.engine_scaling import resident
from tests.consolidation.test_wake_estimate import CASES
family, config, recipe, rows = CASES[sys.argv[1]]
spec = family_spec(family)
width, classes = spec.input_width(spec.validate_config(config)), config.get("classes", 10)
rng = np.random.default_rng(0)
def records(count):
    x = rng.integers(0, 256, (count, width), dtype=np.uint8)
    return Records(task="t", x=x, y=rng.integers(0, classes, count), classes=classes)
fullest = 0
def measure(event):
    global fullest
    fullest = max(fullest, sum(path.stat().st_size for path in Path(folder).iterdir()))
with tempfile.TemporaryDirectory() as folder:
    report = wake(new_model(family, config, 0), records(rows), [records(300)],
                  WakeRecipe(snapshot_every_steps=2, **recipe), workdir=folder, on_event=measure)
    report.memories.save(Path(folder) / "memories.safetensors")
    print(resident("VmHWM"), fullest, (Path(folder) / "memories.safetensors").stat().st_size, report.steps)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process's peak")
@pytest.mark.parametrize("case", CASES)
def test_a_real_wake_stays_near_its_estimate(case: str, tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, case], capture_output=True, text=True, cwd=root, check=True
    )
    peak, fullest, memories, steps = (int(word) for word in done.stdout.split())
    found = told(case)
    assert found.steps == steps
    assert peak / 2 <= found.peak_memory_bytes <= 4 * peak
    assert fullest / 2 <= found.work_bytes <= 4 * fullest
    family, config, _, _ = CASES[case]
    save_model(new_model(family, config, 0), tmp_path / "model.safetensors")
    published = memories + (tmp_path / "model.safetensors").stat().st_size
    assert published <= found.output_bytes + 20_000  # the model file's header
    assert found.output_bytes <= 1.5 * published + 100_000


def test_more_of_anything_needs_more() -> None:
    small = told("mlp")
    common: dict[str, Any] = {"family": "mlp", "config": MLP, "rows": 256, "record_bytes": 88}
    wide = wake_estimate(WakeRecipe(batch=60_000), **common)
    assert wide.peak_memory_bytes > small.peak_memory_bytes
    plain, slots = (
        wake_estimate(WakeRecipe(optimizer=name), **common).work_bytes for name in ("sgd", "adamw")
    )
    assert slots > 2 * plain
    none, all_kept, capped = (
        wake_estimate(WakeRecipe(memories=n, memory_bytes=most), **common).output_bytes
        for n, most in ((0, None), (256, None), (256, 1000))
    )
    assert none < capped < all_kept


def test_a_scoring_needs_the_model_and_one_layer() -> None:
    found = score_estimate(family="cnn", config=CNN)
    assert (found.steps, found.output_bytes) == (0, 0)
    assert found.peak_memory_bytes < told("cnn").peak_memory_bytes


def test_answers_that_are_stored_are_held_until_the_end() -> None:
    plain = score_estimate(family="cnn", config=CNN)
    few, many = (score_estimate(family="cnn", config=CNN, rows=n) for n in (10**6, 2 * 10**6))
    classes = family_spec("cnn").validate_config(CNN)["classes"]
    # float16 of every class, twice while they are put together
    assert many.peak_memory_bytes - few.peak_memory_bytes == 2 * 2 * classes * 10**6
    assert few.peak_memory_bytes > plain.peak_memory_bytes


def test_without_known_sizes_a_dry_run_is_asked_for() -> None:
    config = {
        "architecture": "timm/vit_tiny_patch16_224", "input": [3, 224, 224], "layout": "chw", "classes": 9,
    }  # fmt: skip
    common: dict[str, Any] = {"family": "vision", "config": config, "rows": 10, "record_bytes": 100}
    with pytest.raises(NocturneInputError, match="Do a dry run"):
        wake_estimate(WakeRecipe(), **common)
    assert wake_estimate(WakeRecipe(), dry_run=DryRun(0.5, 5_000_000, 0), **common).work_bytes > 20e6


def test_the_widest_layer() -> None:
    def clean(family: str, config: dict[str, Any]) -> dict[str, Any]:
        return family_spec(family).validate_config(config)

    resnet = {"architecture": "resnet18", "width": 4, "classes": 3, "stem": "cifar", "input": [3, 33, 32]}
    assert widest_numbers("mlp", clean("mlp", MLP)) == 3000
    assert widest_numbers("cnn", clean("cnn", CNN)) == 16 * 32 * 32
    assert widest_numbers("vision", clean("vision", resnet)) == 4 * 33 * 32
    assert [last_numbers("mlp", clean("mlp", MLP)), last_numbers("cnn", clean("cnn", CNN))] == [3000, 64]
