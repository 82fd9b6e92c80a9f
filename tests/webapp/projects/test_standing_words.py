"""Where a line stands: points of accuracy, and for a language model shares of a text's best score."""

from __future__ import annotations

from typing import Any

import pytest

from consolidation.families.registry import family_spec
from webapp.checkpoints.models import Checkpoint
from webapp.core.templatetags.nocturne import heat, share_of
from webapp.projects.selectors import matrix_view, standing_of_line

GPT2 = {"model_type": "gpt2", "vocab_size": 40, "n_positions": 16, "n_embd": 8, "n_layer": 1, "n_head": 2}


def matrix() -> dict[str, Any]:
    """A text that was read at perplexity 20 and is now at 40, and one learned after it."""
    rows = [
        {"number": 1, "label": "v1", "kind": "wake", "task": "a", "scores": {"a": 0.05, "b": 0.01}},
        {"number": 2, "label": "v2", "kind": "wake", "task": "b", "scores": {"a": 0.025, "b": 0.2}},
    ]
    return {"rows": rows, "tasks": ["a", "b"]}


@pytest.mark.parametrize(("family", "lost"), [("causal_lm", 0.5), ("mlp", 0.025)])
def test_half_of_a_hard_text_is_half(family: str, lost: float) -> None:
    config = family_spec(family).validate_config(GPT2) if family == "causal_lm" else {}
    standing = standing_of_line(matrix(), [1, 2], Checkpoint(number=2, family=family, config=config))
    assert standing["worst_forgetting"] == pytest.approx(lost)
    assert standing["worst_task"] == "a"
    assert standing["retention"] == pytest.approx(0.5)


def test_without_a_checkpoint_there_is_nothing_to_tell() -> None:
    assert standing_of_line({"rows": [], "tasks": []}, [], None)["worst_forgetting"] is None


def test_shades_of_a_language_model_are_measured_by_the_texts_own_best() -> None:
    told = matrix() | {"places": {"a": 0, "b": 1}}
    for row in told["rows"]:
        row |= {"typed": []}
    config = family_spec("causal_lm").validate_config(GPT2)
    shown = matrix_view(told, Checkpoint(number=2, family="causal_lm", config=config))
    assert [line["level"] for line in shown["lines"]] == [0.05, 0.2]
    shown = matrix_view(told, Checkpoint(number=2, family="mlp", config={}))
    assert [line["level"] for line in shown["lines"]] == [None, None]
    assert heat(share_of(0.025, 0.05)) == "5"
    assert heat(share_of(0.025, None)) == "0"
    assert heat(share_of(None, 0.05)) == "none"
