"""A tokenizer.json that comes after its model: read, held against the model's vocabulary, written anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from consolidation.errors import shorten
from consolidation.formats import limits
from consolidation.formats.output import new_file
from consolidation.formats.refusal import refuse
from consolidation.formats.texts import TokenizerFile, Tokens
from consolidation.formats.tokenizer_json import tokenizer_json


def convert_tokenizer(path: Path, *, vocabulary: int, out: Path, filename: str) -> dict[str, Any]:
    """Check a tokenizer and write our own copy of it.

    Args:
        path: the file as it came.
        vocabulary: how many tokens the model knows; it may know more than the tokenizer makes.
        out: the new file; it exists afterwards only on success.
        filename: the person's name for the file, for sentences.

    Returns:
        {"size", "tokens"}: bytes of the copy, the highest id + 1.

    Raises:
        NocturneInputError: `tokenizer.limit`, `tokenizer.vocabulary`, `hf.json`, `records.tokenizer`,
            `family.extra`.
    """
    size = path.stat().st_size
    if size > limits.COMPANION_BYTES:
        raise refuse(
            "tokenizer.limit",
            f"{shorten(filename)} has {size:,} bytes; a tokenizer.json of at most "
            f"{limits.COMPANION_BYTES:,} is read. Choose the tokenizer's own file.",
        )
    anew = tokenizer_json(path.read_bytes())
    tokens = _highest(json.loads(anew)) + 1
    if tokens > vocabulary:
        raise refuse(
            "tokenizer.vocabulary",
            f"The tokenizer makes {tokens:,} different tokens, and the model knows {vocabulary:,}. It is of "
            "another model. Choose the tokenizer.json that was saved with this one.",
        )
    with new_file(out, digest=False) as target:
        target.write(anew)
    try:
        # That it runs at all is known only when it was run.
        _ = Tokens(TokenizerFile(out, 0, len(anew), vocabulary, vocabulary)).frame
    except BaseException:
        out.unlink()
        raise
    return {"size": len(anew), "tokens": tokens}


def _highest(table: dict[str, Any]) -> int:
    """The highest id of a checked tokenizer.json."""
    words = table["model"]["vocab"]
    ids = list(words.values()) if isinstance(words, dict) else [len(words) - 1]
    return max([*ids, *(token["id"] for token in table.get("added_tokens") or [])], default=-1)
