"""Whether records are token ids that a text model can read, and how many of them go through it at a time.

Torch-free. A record is [length] ids, filled up at the end with `PADDING`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from consolidation.errors import NocturneInputError, shorten
from consolidation.families.described import PADDING
from consolidation.memory.store import Transform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from consolidation.memory.store import Records

CHUNK = 4096
TOKENS = 2**14  # through a model together where it is only asked
LOGITS = 2**26  # of them together, 256 MB
# Of them together where a model learns. Two records of 128 tokens of SmolLM2 fill 64 MB with logits, and the
# loss holds about three times as much; a GPU needs more at once to be busy.
LEARNT_LOGITS, LEARNT_LOGITS_GPU = 2**24, 2**27


def check_tokens(records: Records, vocabulary: int, longest: int, what: str, gaps: bool = True) -> None:
    """Raises NocturneInputError when these are not ids of tokens that the model knows.

    Codes: `records.width` (longer than the model reads), `records.transform`, `records.token`.

    Args:
        what: for the sentence: "memories", "probe records" or "training records".
        gaps: whether what fills up may stand between tokens too.
    """
    name = shorten(records.task)
    if records.width > longest:
        raise NocturneInputError(
            "records.width",
            f"The {what} of '{name}' are up to {records.width:,} tokens long; the model reads at most "
            f"{longest:,}. Cut them to that length.",
        )
    if records.transform != Transform():
        raise NocturneInputError(
            "records.transform",
            f"The {what} of '{name}' have a transform (scale, mean, sd), and this model takes ids of tokens, "
            "which are names and no amounts. Leave the transform out.",
        )
    for place in range(0, len(records), CHUNK):
        ids = np.asarray(records.raw(slice(place, place + CHUNK)))
        ids = ids.reshape(len(ids), -1)
        known = (ids >= 0) & (ids < vocabulary) & (ids == np.floor(ids))
        if not known.all():
            row, column = np.argwhere(~known)[0]
            raise _unknown(place + row, what, name, f"{ids[row, column]:g}, which is no token", vocabulary)
        empty = (ids == PADDING).all(1)
        if empty.any():
            raise _unknown(place + empty.argmax(), what, name, "no token at all", vocabulary)
        torn = ((ids[:, :-1] == PADDING) & (ids[:, 1:] != PADDING)).any(1)
        if not gaps and torn.any():
            raise _unknown(place + torn.argmax(), what, name, "a gap (0) before a token", vocabulary)


def _unknown(row: Any, what: str, name: str, has: str, vocabulary: int) -> NocturneInputError:
    return NocturneInputError(
        "records.token",
        f"Record {int(row)} of the {what} of '{name}' has {has}; the model knows ids from 1 to "
        f"{vocabulary - 1:,}, and 0 to fill up. Use the tokenizer that this model was made with.",
    )


def by_length(records: Records, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """These rows, the longest first, and the length of the first: records of nearly one length go through a
    model together."""
    lengths = np.concatenate([
        token_lengths(np.asarray(records.raw(rows[place : place + CHUNK])))
        for place in range(0, len(rows), CHUNK)
    ])  # fmt: skip
    order = np.argsort(-lengths, kind="stable")
    return rows[order], int(lengths.max())


def token_lengths(ids: NDArray[Any]) -> NDArray[np.int64]:
    """int64 [n]: how far the tokens of each record reach."""
    real = ids.reshape(len(ids), -1) != PADDING
    return np.where(real.any(1), real.shape[1] - real[:, ::-1].argmax(1), 0).astype(np.int64)


def asked_at_once(most: int, width: int, vocabulary: int | None, words: int = 1) -> int:
    """How many records of `width` numbers go through a model that is only asked: `most`, or so many that
    there are not more than TOKENS tokens, nor more than LOGITS logits.

    Args:
        words: logits of a token.
    """
    if vocabulary is None:
        return most
    tokens = min(TOKENS, max(1, LOGITS // words))
    return max(1, min(most, tokens // max(1, width)))


def learnt_at_once(asked: int, width: int, words: int | None, gpu: bool = False) -> int:
    """How many of `asked` records of `width` tokens go through a language model that learns from them: so
    many that there are not more than LEARNT_LOGITS logits, and at least one.

    Args:
        words: logits of a token; None: a model of another kind, through which all go.
    """
    if words is None:
        return asked
    return max(1, min(asked, (LEARNT_LOGITS_GPU if gpu else LEARNT_LOGITS) // (max(1, width) * words)))
