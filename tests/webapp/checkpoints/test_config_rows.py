"""A model's description as its page tells it."""

from __future__ import annotations

from webapp.checkpoints.selectors import config_rows


def test_an_adapter_s_config_reads_like_words_and_not_like_code() -> None:
    told = dict(
        config_rows({
            "r": 2, "lora_alpha": 6.0, "use_rslora": False, "fan_in_fan_out": True, "peft_type": "LORA",
            "rank_pattern": {"query": 3, "dense": 5.0}, "target_modules": ["output.dense", "query"],
            "base": {"family": "encoder"}, "bias": "",
        })
    )  # fmt: skip
    assert told == {
        "Rank": "2", "LoRA alpha": "6", "Use rsLoRA": "no", "Fan in fan out": "yes", "PEFT type": "LORA",
        "Rank pattern": "query: 3, dense: 5", "Target modules": "output.dense, query",
    }  # fmt: skip


def test_sizes_of_layers_lie_one_behind_the_other() -> None:
    assert config_rows({"layers": [64, 100, 10]}) == [("Layers", "64 → 100 → 10")]
