"""What a proposal may cost, in points of accuracy and in shares of a language model's score."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from consolidation.phases.gate import propose
from consolidation.recipe import preset

if TYPE_CHECKING:
    from pathlib import Path


class Told:
    """A run whose watch scores are told beforehand."""

    def __init__(self, folder: Path, objective: str, *scores: dict[str, float]) -> None:
        self.objective = SimpleNamespace(name=objective)
        self.standing: dict[str, float] | None = None
        self.folder = folder
        self.probes = SimpleNamespace(borrowed=False)
        self.facts: dict[str, Any] = {}
        self.stream = SimpleNamespace(emit=lambda *_args, **_told: None)
        self._scores = list(scores)

    def probe_watch(self, _when: str) -> dict[str, float]:
        return self._scores.pop(0)


def proposed(run: Told) -> tuple[bool, str, bool]:
    """Whether it was kept, why, and whether the weights are as before."""
    weight = torch.ones(4)

    def change() -> dict[str, Any]:
        weight.zero_()
        return {}

    kept = propose(run, preset("night"), "prune", {"w": weight}, change)  # type: ignore[arg-type]
    return kept, run.facts["decisions"][-1]["reason"], bool((weight == 1).all())


@pytest.mark.parametrize(
    ("objective", "after", "reason"),
    [
        ("classification", {"a": 0.049, "b": 0.05}, "Kept: the mean watch score changed by -0.1 points."),
        ("language", {"a": 0.0495, "b": 0.0499}, "Reverted: the mean watch score fell by 0.6 %."),
        ("language", {"a": 0.0494, "b": 0.052}, "Reverted: a fell by 1.2 % on watch."),
        ("language", {"a": 0.05, "b": 0.04999}, "Kept: the mean watch score did not change."),
    ],
)
def test_a_fall_is_told_in_what_the_scores_are_told_in(
    objective: str, after: dict[str, float], reason: str, tmp_path: Path
) -> None:
    kept, why, restored = proposed(Told(tmp_path, objective, {"a": 0.05, "b": 0.05}, after))
    assert why == reason
    assert kept == reason.startswith("Kept")
    assert restored != kept
