"""The tokens of words that were seen before: asking a tokenizer for them takes ten times as long.

Only for tokenizers that read a text word by word (`word_cuts`). The first texts of a file are read in both
ways, and where they differ no more are read in this one; so they are where most words are new.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from consolidation.formats.word_cuts import CUT, SOLID_END, blockers, plain_places

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WORDS: Final = 100_000  # kept at a time: some 30 MB
_LETTERS: Final = 48  # of a word that is kept
_COMPARED: Final = 64  # texts that are read in both ways
_WINDOW: Final = 50_000  # words after which the gain is looked at
_ITEM: Final = np.dtype("<i4")


class Plain(NamedTuple):
    """The tokens of a text, without anything around it.

    Attributes:
        ids: int64 [n].
        spans: int64 [n, 2], the letters that a token stands for; None unless asked for.
    """

    ids: NDArray[np.int64]
    spans: NDArray[np.int64] | None


class KnownWords:
    """Reads texts as a tokenizer does, and remembers the words.

    Args:
        tokenizer: of the tokenizers library, without padding and truncation.
        ask: runs it on a text, without anything around it.
        places: whether spans are asked for.
        compared: texts that are read by the tokenizer too.
    """

    def __init__(
        self, tokenizer: Any, ask: Callable[[str], Any], *, places: bool, compared: int = _COMPARED
    ) -> None:
        found = blockers(tokenizer)
        self.useful = found is not None and (plain_places(tokenizer) or not places)
        self._blockers = found or ()
        self._ask, self._places, self._compared = ask, places, compared
        # By the word without the space before it; a text's first word has none, and may be read otherwise.
        self._first: dict[str, bytes] = {}
        self._rest: dict[str, bytes] = {}
        self._seen = self._new = 0

    def read(self, text: str) -> Plain:
        """The tokens of a text. Raises what `ask` raises."""
        if not self.useful or any(one in text for one in self._blockers):
            return self._whole(text)
        found = self._by_words(text)
        if self._compared:
            self._compared -= 1
            whole = self._whole(text)
            if not all(map(_same, found, whole)):
                self.useful = False
            return whole
        return found

    def _whole(self, text: str) -> Plain:
        found = self._ask(text)
        spans = np.asarray(found.offsets, np.int64).reshape(-1, 2) if self._places else None
        return Plain(np.asarray(found.ids, np.int64), spans)

    def _by_words(self, text: str) -> Plain:
        later = text.startswith(" ")  # whether the first word has a space before it too
        words = text[later:].split(" ")
        first = self._rest if later else self._first
        found = [first.get(words[0]), *map(self._rest.get, words[1:])]
        gaps = [word for word, piece in zip(words[:-1], found, strict=False) if piece is None]
        if not all(map(SOLID_END.search, gaps)):
            # The spaces behind such words are no places to cut at.
            words = [piece[later or at > 0 :] for at, piece in enumerate(CUT.split(text))]
            found = [first.get(words[0]), *map(self._rest.get, words[1:])]
        pieces = [piece for piece in found if piece is not None]
        if len(pieces) < len(found):
            pieces = [
                self._read(words[at], later or at > 0) if piece is None else piece
                for at, piece in enumerate(found)
            ]
        self._seen += len(words)
        if self._seen >= _WINDOW:
            self.useful = self._new * 4 < self._seen
            self._seen = self._new = 0
        return self._joined(words, pieces, later)

    def _joined(self, words: list[str], pieces: list[bytes], later: bool) -> Plain:
        joined = np.frombuffer(b"".join(pieces), _ITEM).astype(np.int64)
        if not self._places:
            return Plain(joined, None)
        # With places a token is three numbers: its id, and where in its word it begins and ends.
        rows = joined.reshape(-1, 3)
        lengths = np.fromiter(map(len, words), np.int64, len(words))
        begins = np.cumsum(lengths + 1) - lengths - 2 + later  # where the space before each word is
        begins[0] = 0
        counts = np.fromiter(map(len, pieces), np.int64, len(pieces)) // (3 * _ITEM.itemsize)
        return Plain(rows[:, 0].copy(), rows[:, 1:] + np.repeat(begins, counts)[:, None])

    def _read(self, word: str, later: bool) -> bytes:
        """A word as the tokenizer reads it; remembered, where it may stand in the middle."""
        self._new += 1
        found = self._ask(f" {word}" if later else word)
        numbers = np.asarray(found.ids, _ITEM)
        if self._places:
            spans = np.asarray(found.offsets, _ITEM).reshape(-1, 2)
            numbers = np.concatenate([numbers[:, None], spans], axis=1)
        piece = numbers.tobytes()
        if len(word) <= _LETTERS and SOLID_END.search(word):
            known = self._rest if later else self._first
            if len(known) >= _WORDS:
                known.clear()
            known[word] = piece
        return piece


def _same(one: NDArray[np.int64] | None, other: NDArray[np.int64] | None) -> bool:
    return one is None or other is None or np.array_equal(one, other)
