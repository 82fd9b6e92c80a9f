"""Texts as tokens, by the tokenizer.json of the model that is to read them.

The tokenizer was read and written anew when it was uploaded (`tokenizer_json`), and is run in the confined
child only, text by text: the library uses threads for several at once, and none may be made there. Words that
were seen before are not asked for again (`known_words`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from consolidation.errors import NocturneInputError
from consolidation.formats.known_words import KnownWords, Plain
from consolidation.formats.refusal import refuse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

TOKENIZER: Final = "tokenizer.json"
LENGTH: Final = 128  # tokens of a block, unless somebody says another length
NO_TOKENIZER: Final = (
    "The file holds texts, and the current checkpoint came without a tokenizer to read them with. Attach its "
    "tokenizer.json on the checkpoint's page, or take records of token ids."
)
# Letters that are given to the tokenizer at a time: what it holds of them is many times as large.
_PIECE: Final = 65_536


@dataclass(frozen=True)
class TokenizerFile:
    """Where the tokenizer of a model lies, and what the model wants (see `families.text_model`).

    Attributes:
        path, offset, size: its bytes; path None: the model came without one.
        longest: tokens that the model reads at most.
        vocabulary: how many tokens the model knows.
        objective: what is asked of a record.
        shift: what is added to every id.
        second: what is added besides to the ids of the second text; 0: the model knows one kind of text.
        label_names: what the model calls the labels 0, 1, ... (of the task's head, where there is one).
    """

    path: Path | None
    offset: int
    size: int
    longest: int
    vocabulary: int
    objective: str = "classification"
    shift: int = 0
    second: int = 0
    label_names: tuple[str, ...] = ()

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the stored ids."""
        return np.dtype("<u2" if self.shift + self.vocabulary + self.second <= 2**16 else "<i4")


@dataclass(frozen=True)
class TextOptions:
    """What a person says of a file of texts.

    Attributes:
        mapping: {part: column}, see `mapping`; empty: guessed.
        length: tokens in a block that a long text is cut into.
        truncate: whether texts that are too long for a classification are cut, or refused.
        probe: whether these records prove something: a question then counts once.
        label_names: names of the labels 0, 1, ... that the task has already.
    """

    mapping: Mapping[str, str] = field(default_factory=dict)
    length: int = LENGTH
    truncate: bool = False
    probe: bool = False
    label_names: tuple[str, ...] = ()


class Encoded(NamedTuple):
    """Tokens of one or two texts.

    Attributes:
        ids: int64 [n].
        second: bool [n], whether a token is of the second segment.
        of: int64 [n], 0 or 1 for a token of that text, -1 for one that the tokenizer added.
        spans: int64 [n, 2], the letters of its text that a token stands for; [0, 2] unless asked for.
    """

    ids: NDArray[np.int64]
    second: NDArray[np.bool_]
    of: NDArray[np.int64]
    spans: NDArray[np.int64]

    def part(self, keep: NDArray[Any]) -> Encoded:
        """Some of the tokens, by a mask or by places."""
        spans = self.spans[keep] if len(self.spans) else self.spans
        return Encoded(self.ids[keep], self.second[keep], self.of[keep], spans)

    @classmethod
    def joined(cls, parts: list[Encoded]) -> Encoded:
        """Parts one after the other."""
        ids, second, of, spans = zip(*parts, strict=True)
        return cls(np.concatenate(ids), np.concatenate(second), np.concatenate(of), np.concatenate(spans))


class Tokens:
    """Runs the tokenizer of a model.

    Raises:
        NocturneInputError: `records.tokenizer`: there is none, or it cannot be run; `family.extra`: the
            library is missing.
    """

    def __init__(self, file: TokenizerFile) -> None:
        self.file = file
        if file.path is None:
            raise refuse("records.tokenizer", NO_TOKENIZER)
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
                "The tokenizer that came with the current checkpoint cannot be run. Attach a tokenizer.json "
                "that works on the checkpoint's page, or take records of token ids.",
            ) from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

        self._words = KnownWords(self._tokenizer, self._bare, places=False)
        self._placed = KnownWords(self._tokenizer, self._bare, places=True)

    def encode(self, text: str, second: str | None = None, *, places: bool = False) -> Encoded:
        """One text, or two that belong together, with what the tokenizer puts around them.

        Args:
            places: whether `Encoded.spans` are wanted.

        Raises:
            NocturneInputError: `records.token`: a token that the model does not know.
        """
        words = self._placed if places else self._words
        around = self._around_one if second is None else self._around_two
        if not words.useful or around is None:
            found = self._whole(text, second, places=places)
        else:
            read = [words.read(one) for one in (text, second) if one is not None]
            found = _framed(around, read, places=places)
        self._ids(found.ids)
        return found

    def plain(self, text: str) -> NDArray[np.int64]:
        """A text of any length without anything around it.

        Raises:
            NocturneInputError: `records.token`.
        """
        parts = [self._words.read(piece).ids for piece in _pieces(text)]
        return self._ids(parts[0] if len(parts) == 1 else np.concatenate(parts))

    @cached_property
    def frame(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What the tokenizer puts before a text and after it: the beginning and the end of a sequence."""
        found = self._whole("a", None)
        self._ids(found.ids)
        own = np.flatnonzero(found.of >= 0)
        if not len(own):
            return found.ids, found.ids[:0]
        return found.ids[: own[0]], found.ids[own[-1] + 1 :]

    @cached_property
    def _around_one(self) -> list[Encoded] | None:
        return self._around("a")

    @cached_property
    def _around_two(self) -> list[Encoded] | None:
        return self._around("a", "a")

    def _around(self, *texts: str) -> list[Encoded] | None:
        """What stands before, between and after the texts, with a token of each; None: no such frame."""
        found, bare = self._whole(*texts), np.asarray(self._bare("a").ids, np.int64)
        parts: list[Encoded] = []
        end = 0
        for which in range(len(texts)):
            own = np.flatnonzero(found.of == which)
            if not len(own) or own[0] < end or not np.array_equal(found.ids[own[0] : own[-1] + 1], bare):
                return None
            parts += [found.part(np.arange(end, own[0])), found.part(own[:1])]
            end = int(own[-1]) + 1
        return [*parts, found.part(np.arange(end, len(found.ids)))]

    def _whole(self, text: str, second: str | None = None, *, places: bool = False) -> Encoded:
        """As the tokenizer reads them together."""
        found = self._run(text, second)
        of = np.array([-1 if at is None else at for at in found.sequence_ids], np.int64)
        spans = np.asarray(found.offsets if places else (), np.int64).reshape(-1, 2)
        return Encoded(np.asarray(found.ids, np.int64), np.asarray(found.type_ids) == 1, of, spans)

    def _bare(self, text: str) -> Any:
        return self._run(text, None, add_special_tokens=False)

    def _run(self, text: str, second: str | None, **how: bool) -> Any:
        try:
            return self._tokenizer.encode(text, second, **how)
        except Exception as error:  # the library raises nothing more narrow
            raise refuse("records.token", "the model's tokenizer cannot read its text") from error

    def _ids(self, found: NDArray[np.int64]) -> NDArray[np.int64]:
        return check_ids(found, self.file.vocabulary, "The tokenizer is of another model")


def _framed(around: list[Encoded], texts: list[Plain], *, places: bool) -> Encoded:
    """The texts in their places of a frame (`Tokens._around`)."""
    parts = list(around)
    for which, text in enumerate(texts):
        count = len(text.ids)
        second = np.full(count, bool(around[2 * which + 1].second[0]))
        spans = text.spans if text.spans is not None else np.empty((0, 2), np.int64)
        parts[2 * which + 1] = Encoded(text.ids, second, np.full(count, which, np.int64), spans)
    if places:
        parts[::2] = [part._replace(spans=np.zeros((len(part.ids), 2), np.int64)) for part in parts[::2]]
    return Encoded.joined(parts)


def check_ids(ids: NDArray[np.int64], vocabulary: int, hint: str) -> NDArray[np.int64]:
    """The ids. Raises NocturneInputError (`records.token`) when the model does not know one."""
    if len(ids) and not 0 <= ids.min() <= ids.max() < vocabulary:
        wrong = int(ids.max()) if ids.max() >= vocabulary else int(ids.min())
        raise refuse("records.token", f"it has the token {wrong:,}; the model knows {vocabulary:,}. {hint}")
    return ids


def _pieces(text: str) -> Iterator[str]:
    """A long text in pieces that end before a space, where there is one."""
    start = 0
    while len(text) - start > _PIECE:
        end = text.rfind(" ", start + _PIECE // 2, start + _PIECE)
        end = end if end > start else start + _PIECE
        yield text[start:end]
        start = end
    yield text[start:]
