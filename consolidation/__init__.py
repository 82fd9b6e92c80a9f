"""Nocturne's consolidation engine: sleep cycles for models that are fine-tuned again and again.

Nothing heavy is imported here: the names below are resolved on first use (PEP 562), so the web process can
import the torch-free modules (errors, recipe, events, metrics, families.registry) without loading PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from consolidation.cycle import sleep
    from consolidation.errors import NocturneInputError, Stopped
    from consolidation.families.module import wrap
    from consolidation.families.registry import register
    from consolidation.memory.store import Records
    from consolidation.recipe import SleepRecipe, WakeRecipe, preset
    from consolidation.report import Report
    from consolidation.scoring import score
    from consolidation.waking import wake
    from consolidation.weights import load_model, save_model

__all__ = [
    "NocturneInputError",
    "Records",
    "Report",
    "SleepRecipe",
    "Stopped",
    "WakeRecipe",
    "load_model",
    "preset",
    "register",
    "save_model",
    "score",
    "sleep",
    "wake",
    "wrap",
]

_HOME = {
    "NocturneInputError": "errors",
    "Records": "memory.store",
    "Report": "report",
    "SleepRecipe": "recipe",
    "Stopped": "errors",
    "WakeRecipe": "recipe",
    "load_model": "weights",
    "preset": "recipe",
    "register": "families.registry",
    "save_model": "weights",
    "score": "scoring",
    "sleep": "cycle",
    "wake": "waking",
    "wrap": "families.module",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"consolidation.{_HOME[name]}"), name)
    raise AttributeError(f"module 'consolidation' has no attribute {name!r}")
