"""Errors about input travel whole, between processes too."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from consolidation.errors import NocturneInputError
from consolidation.recipe import preset


def test_an_error_of_another_process_arrives_with_its_code_its_sentence_and_its_detail() -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool, pytest.raises(NocturneInputError) as refused:
        pool.submit(preset, "night", noise=11).result()
    assert refused.value.to_json() == {
        "code": "cycle.param_range",
        "message": "noise is 11; allowed: 0 to 10.",
        "detail": {"field": "noise", "value": "11"},
    }
