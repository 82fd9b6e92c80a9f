"""What the tests with seeded damages share: how many rounds, and the plainest damages."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import Final

from consolidation.formats.refusal import CODES

# How many damaged files all formats get together; more on demand, fewer never.
TOTAL: Final = max(int(os.environ.get("NOCTURNE_MUTATIONS", "500")), 500)
# Each format's share of them.
SHARES: Final = {
    "pytorch": 0.3, "folders": 0.12, "gguf": 0.14, "safetensors": 0.12, "npz": 0.08,
    "jsonl": 0.06, "csv": 0.06, "gzip": 0.04, "parquet": 0.06, "parquet-zstd": 0.06,
}  # fmt: skip
# Codes that the families give, which are not those of a format.
FAMILY_CODES: Final = frozenset({
    "checkpoint.config", "checkpoint.shapes", "checkpoint.shape_mismatch", "checkpoint.family",
    "hf.config_range",
})  # fmt: skip


def rounds(kind: str, seeds: int) -> int:
    """Files for one of `seeds` tests of a format."""
    return max(1, round(TOTAL * SHARES[kind] / seeds))


def documented(code: str) -> bool:
    """Whether a refusal's code is one that is written down."""
    return code in CODES or code in FAMILY_CODES


def damaged(data: bytes, rng: random.Random, tokens: Sequence[bytes] = ()) -> bytes:
    """One to three damages: bytes changed, cut out or doubled, numbers or `tokens` put in, the end lost."""
    raw = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        if not raw:
            break
        place, kind = rng.randrange(len(raw)), rng.randrange(7)
        if kind == 0:
            raw[place] = rng.randrange(256)
        elif kind == 1:
            del raw[place : place + rng.randint(1, 16)]
        elif kind == 2:
            raw[place:place] = raw[place : place + rng.randint(1, 16)]
        elif kind == 3:
            raw[place : place + 1] = rng.choice(tokens) if tokens else b"\xff"
        elif kind == 4:
            raw = raw[: max(place, 1)]
        elif kind == 5:
            raw[place : place + 8] = rng.choice([2**64 - 1, 2**63, 2**32, 0, 1, 255]).to_bytes(8, "little")
        else:
            raw[place : place + 4] = rng.randrange(2**32).to_bytes(4, "little")
    return bytes(raw)
