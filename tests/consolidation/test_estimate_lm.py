"""What the arithmetic says of language models is what a real pass through them gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from consolidation.dry_run import dry_run
from consolidation.estimate import decoder_numbers, estimate, hidden_numbers
from consolidation.families.adapter import adapter_of
from consolidation.memory.store import Records
from consolidation.phases.reconstructing import LinearDecoders
from consolidation.recipe import preset
from consolidation.stored_size import answer_numbers
from consolidation.token_fit import learnt_at_once
from consolidation.wake_estimate import last_numbers, widest_numbers
from tests.consolidation.lm_helpers import KINDS, tiny_lm, token_records

# of a mixture the tokens of each expert depend on its gate
STEADY = [kind for kind in KINDS if kind != "mixtral"]


@pytest.mark.parametrize("kind", STEADY)
def test_the_arithmetic_of_a_language_model_is_what_a_real_pass_gives(kind: str) -> None:
    model = tiny_lm(KINDS[kind])
    x = token_records(1, 9).repeat(6, 1).numpy().astype("u2")
    records = Records(task="texts", x=x, y=np.zeros(6, int), classes=65536, objective="language")
    recipe = preset("night", batch=2, passes=2.0, lr=0.01, fisher_samples=4)
    ran = dry_run(model, [records], recipe)
    clean: dict[str, Any] = model.nocturne_config  # type: ignore[assignment]
    assert ran.hidden == hidden_numbers("causal_lm", clean, 9)
    decoders = LinearDecoders(model, adapter_of(model).blocks(model), 16, torch.device("cpu"))
    assert decoder_numbers("causal_lm", clean) == sum(w.numel() for w in decoders.weights.values())
    assert widest_numbers("causal_lm", clean, 9) == 9 * 23
    assert last_numbers("causal_lm", clean) == (8 if kind == "gpt2" else 16)


def test_longer_texts_take_more_memory() -> None:
    small = KINDS["llama"] | {"vocab_size": 50_000, "hidden_size": 64, "max_position_embeddings": 1024}

    def peak(width: int, batch: int = 8) -> int:
        recipe = preset("night", batch=batch, passes=1.0, lr=0.01)
        told = estimate(recipe, family="causal_lm", config=small, memories=[50], width=width)
        return told.peak_memory_bytes

    logits = 4 * 3 * 50_000  # of a record, a position; themselves, their softmax and its gradient
    assert 256 * logits < peak(1024) - peak(768) < 2 * 256 * logits
    assert peak(1024, 64) == peak(1024, 8)  # so many words are learned record by record


def test_a_language_model_learns_as_many_records_at_a_time_as_there_is_room_for_their_words() -> None:
    assert learnt_at_once(16, 128, 49_152) == 2
    assert learnt_at_once(16, 128, 49_152, gpu=True) == 16
    assert learnt_at_once(16, 4096, 128_000) == 1
    assert learnt_at_once(16, 128, None) == 16


def test_stored_answers_are_few_of_the_words() -> None:
    small = KINDS["llama"] | {"vocab_size": 50_000, "hidden_size": 64, "max_position_embeddings": 1024}
    assert answer_numbers("causal_lm", small, 10) == 10 * 64
    assert hidden_numbers("causal_lm", KINDS["mixtral"], 5) > hidden_numbers("causal_lm", KINDS["mistral"], 5)
