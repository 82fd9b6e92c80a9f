"""What `estimate` foretells beside what a night in a process of its own takes: memory at its highest."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from consolidation.cycle import sleep
from consolidation.estimate import estimate
from consolidation.families.registry import family_spec
from consolidation.memory.store import Records
from consolidation.recipe import SleepRecipe, preset
from consolidation.weights import new_model
from tests.bench.sections.engine_scaling import resident

PICTURE = {"input": [3, 32, 32], "layout": "chw", "classes": 10}
SMALL = {"layers": [784, 100, 100, 10], "activation": "relu", "names": ["0", "1", "2"]}
WIDE = {"layers": [784, 4000, 4000, 10], "activation": "relu", "names": ["0", "1", "2"]}
RESNET = {"architecture": "resnet18", "stem": "cifar", **PICTURE}
CONV = {"convolutions": [32, 64], "activation": "relu", "norm": True, "hidden": [256], **PICTURE}
BERT = {
    "model_type": "bert", "vocab_size": 8000, "hidden_size": 128, "intermediate_size": 512,
    "num_hidden_layers": 4, "num_attention_heads": 4, "max_position_embeddings": 64, "num_labels": 3,
    "head": "sequence-classification",
}  # fmt: skip
# name: (family, config, changes to the Night, with the model before waking)
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], bool]] = {
    "mlp, small": ("mlp", SMALL, {}, False),
    "mlp, 19 M": ("mlp", WIDE, {}, False),
    "mlp, 19 M, merging, two rounds": ("mlp", WIDE, {"rounds": 2, "momentum": 0.9}, True),
    "mlp, 19 M, adamw, dreams": ("mlp", WIDE, {"optimizer": "adamw", "lr": 1e-4, "dream": 0.3}, False),
    "cnn": ("cnn", CONV, {}, False),
    "resnet18, width 32": ("vision", {**RESNET, "width": 32}, {}, False),
    "bert, 2 M, adamw": ("encoder", BERT, {"optimizer": "adamw", "lr": 1e-4}, False),
}
TARGETS = {f"{name}: off by": 0.25 for name in CASES}
SETS, EACH, STEPS = 2, 64, 4


def recipe_of(changes: dict[str, Any]) -> SleepRecipe:
    settings = {"lr": 0.01, "passes": STEPS * 64 / (SETS * EACH), "min_gain": 0.0, "fisher_samples": 64}
    return preset("night", **(settings | changes))


def alone(name: str) -> None:
    """The child: one short night; prints its peak in bytes."""
    torch.set_num_threads(1)
    family, config, changes, reference = CASES[name]
    spec = family_spec(family)
    config = spec.validate_config(config)
    rng = np.random.default_rng(0)
    width, classes = spec.input_width(config), spec.outputs(config)

    def records(index: int, count: int) -> Records:
        return Records(
            task=f"t{index}", x=rng.integers(0, 256, (count, width), dtype=np.uint8),
            y=rng.integers(0, classes, count), z=rng.normal(size=(count, classes)).astype(np.float16),
            classes=classes,
        )  # fmt: skip

    with tempfile.TemporaryDirectory() as folder:
        sleep(
            new_model(family, config, 0), [records(i, EACH) for i in range(SETS)],
            [records(i, 40) for i in range(SETS)], recipe_of(changes), workdir=folder,
            reference=new_model(family, config, 1) if reference else None,
        )  # fmt: skip
    print(resident("VmHWM"))  # ru_maxrss would count the parent that it was forked from


def peak(name: str) -> int:
    """Bytes that a process which does one night of this kind has at its highest."""
    root = Path(__file__).parents[3]
    code = f"from tests.bench.sections.engine_estimate import alone; alone({name!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    return int(done.stdout)


def told(name: str) -> int:
    family, config, changes, reference = CASES[name]
    memories = [EACH] * SETS
    return estimate(
        recipe_of(changes), family=family, config=config, memories=memories, reference=reference
    ).peak_memory_bytes  # fmt: skip


def measure() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in CASES:
        foretold, took = told(name), peak(name)
        found[f"{name}: told / took, MB"] = f"{foretold / 1e6:.0f} / {took / 1e6:.0f}"
        found[f"{name}: off by"] = round(abs(foretold / took - 1), 3)
    return found
