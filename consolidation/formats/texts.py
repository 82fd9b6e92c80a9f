"""Texts as ids of tokens, by the tokenizer.json that came with the model that is to read them.

The tokenizer was read and written anew when it was uploaded (`tokenizer_json`), and is run in the confined
child only, text by text: the library uses threads for several at once, and none may be made there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consolidation.errors import NocturneInputError
from consolidation.families.described import PADDING
from consolidation.formats.refusal import refuse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from consolidation.formats.source import Source

TOKENIZER: Final = "tokenizer.json"
LETTERS_EACH: Final = 64  # of a text for each token that the model reads; what is longer is not even tried
NO_TOKENIZER: Final = (
    "it holds a text, and the current checkpoint came without a tokenizer to read it with. Take the model's "
    "whole folder, with its tokenizer.json, or records of token ids"
)


@dataclass(frozen=True)
class TokenizerFile:
    """Where the tokenizer of a model lies, and what the model reads.

    Attributes:
        path, offset, size: its bytes.
        longest: tokens that the model reads at most.
        vocabulary: how many tokens the model knows.
    """

    path: Path
    offset: int
    size: int
    longest: int
    vocabulary: int


class Texts:
    """Reads texts of one set.

    Attributes:
        count: how many rows hold a text that it has read.

    Raises:
        NocturneInputError: `records.tokenizer`: the tokenizer cannot be run; `family.extra`: the library is
            missing.
    """

    def __init__(self, file: TokenizerFile) -> None:
        self._file = file
        self.count, self._used = 0, 1
        try:
            library: Any = import_module("tokenizers")
        except ImportError as error:
            raise NocturneInputError(
                "family.extra",
                "Texts need the tokenizers library, which is not installed here. Install it with: "
                "pip install 'nocturne[llm]'; or take records of token ids.",
            ) from error
        with file.path.open("rb") as handle:
            handle.seek(file.offset)
            raw = handle.read(file.size)
        try:
            self._tokenizer = library.Tokenizer.from_buffer(raw)
        except Exception as error:  # the library raises nothing more narrow
            raise refuse(
                "records.tokenizer",
                "The tokenizer that came with the current checkpoint cannot be run. Take the model with a "
                "tokenizer.json that works, or records of token ids.",
            ) from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def ids(self, text: Any) -> NDArray[np.float32]:
        """float32 [longest]: ids, filled up.

        Raises:
            NocturneInputError: `replay.schema`, `records.token`; the message completes "Line 7: ...".
        """
        longest = self._file.longest
        if not isinstance(text, str):
            raise refuse("replay.schema", '"text" must be a text')
        if len(text) > LETTERS_EACH * longest:
            raise refuse(
                "records.token",
                f"its text has {len(text):,} letters, and the model reads {longest:,} tokens. Cut it",
            )
        ids = np.asarray(self._tokenizer.encode(text).ids, dtype=np.int64)
        if len(ids) > longest:
            raise refuse(
                "records.token",
                f"its text has {len(ids):,} tokens, and the model reads at most {longest:,}. Cut it",
            )
        if not (ids != PADDING).any():
            raise refuse("records.token", "its text has no token at all")
        if ids.max() >= self._file.vocabulary:
            raise refuse(
                "records.token",
                f"its text has the token {ids.max():,}; the model knows {self._file.vocabulary:,}. The "
                "tokenizer is of another model",
            )
        row = np.full(longest, PADDING, np.float32)
        row[: len(ids)] = ids
        self._used = max(self._used, int(np.flatnonzero(ids != PADDING)[-1]) + 1)
        return row

    def cut(self, source: Source) -> Source:
        """The rows without the columns that only fill up, as whole numbers.

        Raises:
            NocturneInputError: `replay.schema`, when some rows were no texts.
        """
        if self.count == 0:
            return source
        if self.count != len(source.labels):
            raise refuse(
                "replay.schema",
                f"{self.count:,} rows hold a text and {len(source.labels) - self.count:,} hold numbers. Use "
                "one of the two.",
            )
        dtype, used = np.dtype("<u2" if self._file.vocabulary <= 2**16 else "<i4"), self._used

        def blocks(rows: int) -> Iterator[NDArray[Any]]:
            for block in source.x(rows):
                yield block[:, :used].astype(dtype)

        return replace(source, x_dtype=dtype, x_shape=(used,), x=blocks)
