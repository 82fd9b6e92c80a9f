"""The ablation: every switch is a recipe that exists, and a row is the night with that one change."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from consolidation.baselines.storage import NAMES
from consolidation.benchmarks.ablation import DEFAULT, SWITCHES, chosen
from consolidation.benchmarks.cli import main
from consolidation.recipe import preset


@pytest.mark.parametrize("switch", SWITCHES, ids=[switch.label for switch in SWITCHES])
def test_every_switch_is_a_night_that_can_be_run(switch: tuple[str, dict[str, object], str | None]) -> None:
    _, recipe, codec = switch
    preset("night", **recipe)
    assert codec is None or codec in NAMES


def test_words_choose_switches_and_the_default_is_always_there() -> None:
    found = [switch.label for switch in chosen(["merging"])]
    assert found == [DEFAULT, "without merging", "merging .1", "merging .6"]
    assert len(chosen(None)) == len(SWITCHES)


def test_each_switch_becomes_rows_and_a_line_with_its_difference_to_the_default(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(256) % 10
    x = np.clip(rng.integers(0, 200, (10, 28, 28))[y] + rng.normal(0, 30, (256, 28, 28)), 0, 255).astype(
        np.uint8
    )
    np.savez(tmp_path / "mnist.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    line = [
        "ablation", "--data", str(tmp_path), "--tasks", "2", "--seeds", "2", "--buffer", "20",
        "--only", "averaging", "--only", "codec raw", "--only", "duration .15",
        "--json", str(tmp_path / "a.json"), "--markdown", str(tmp_path / "a.md"),
    ]  # fmt: skip
    assert main(line) == 0
    rows = json.loads((tmp_path / "a.json").read_text())
    assert [row["settings"]["recipe"] for row in rows] == [{}, {}, {"average": 0.0}, {"average": 0.0}, {}, {}]
    assert [row["settings"]["codec"] for row in rows] == ["float32"] * 4 + ["raw"] * 2
    # the night's own duration is the default night, not a second run of it
    assert len(rows) == 6
    page = (tmp_path / "a.md").read_text()
    (without,) = [text for text in page.splitlines() if text.startswith("| without averaging")]
    assert f"vs {DEFAULT} [95 % CI]" in page and "[" in without
