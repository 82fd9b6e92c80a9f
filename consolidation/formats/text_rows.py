"""Rows of texts as records: one class an objective, each taking the columns of a row by their parts."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consolidation.errors import NocturneInputError, shorten
from consolidation.families.described import PADDING
from consolidation.formats import limits
from consolidation.formats.chat import prompt_and_completion
from consolidation.formats.mapping import NEEDED, check_mapping, choose, mapping_error
from consolidation.formats.record_rights import SPELLINGS
from consolidation.formats.refusal import refuse
from consolidation.formats.texts import Encoded, TextOptions, TokenizerFile, Tokens, check_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from consolidation.formats.token_spool import TokenSpool

LETTERS_EACH: Final = 64  # of a text for each token that the model reads; what is longer is not even tried
LETTERS_OF_CONTEXT: Final = 2**20  # what the tokenizer holds of them is a hundred times as large
STRIDE: Final = 128  # tokens that two windows of a long context share
MOST_NAMES: Final = 10_000
_WHOLE: Final = re.compile(r"-?\d{1,18}(\.0*)?")


class TextRows(ABC):
    """Takes rows and spools records.

    Args:
        file: the model's tokenizer, and what the model wants.
        options: what a person says.
        spool: where the records go.
        columns: names of the columns that the file has, as far as they are known.

    Raises:
        NocturneInputError: `records.mapping`, `records.tokenizer`, `family.extra`.
    """

    def __init__(
        self, file: TokenizerFile, options: TextOptions, spool: TokenSpool, columns: list[str]
    ) -> None:
        self.file, self.options, self.spool = file, options, spool
        told = check_mapping(options.mapping, file.objective)
        self.parts = choose(columns, told, file.objective)
        self.tokens = None if "tokens" in self.parts else Tokens(file)

    @property
    def columns(self) -> list[str]:
        """The columns that are read."""
        return [*self.parts.values(), *SPELLINGS]

    def take(self, line: int, row: Mapping[str, Any]) -> None:
        """One row, by its columns; a bad one is remembered by the spool."""
        try:
            missing = [column for column in self.parts.values() if column not in row]
            if missing:
                raise refuse("replay.schema", f"it has no “{shorten(missing[0], 40)}”")
            self._put(line, {part: row[column] for part, column in self.parts.items()}, _rights(row))
        except NocturneInputError as error:
            self.spool.bad(line, error)

    @abstractmethod
    def _put(self, line: int, row: dict[str, Any], rights: dict[str, Any]) -> None:
        """Raises NocturneInputError; the message completes "Line 7: ..."."""

    def label_names(self) -> list[str]:
        """Names of the labels 0, 1, ...; empty when they came as numbers."""
        return []

    def ranks(self) -> NDArray[np.int64] | None:
        """The final label of each that was spooled; None: they are final."""
        return None

    def _text(self, value: Any, name: str) -> str:
        if not isinstance(value, str):
            raise refuse("replay.schema", f'its "{name}" is no text')
        return value

    def _runner(self) -> Tokens:
        assert self.tokens is not None  # noqa: S101 - only rows of ids go without
        return self.tokens

    def _stored(self, found: Encoded) -> NDArray[np.int64]:
        stored = found.ids + self.file.shift + self.file.second * found.second
        if (stored == PADDING).any():
            raise refuse("records.token", "its text names the token that fills up. Take it out of the text")
        return stored


class LabelledTexts(TextRows):
    """A text, or two that belong together, and a label: a whole number, or its name."""

    def __init__(
        self, file: TokenizerFile, options: TextOptions, spool: TokenSpool, columns: list[str]
    ) -> None:
        super().__init__(file, options, spool, columns)
        # Those of the task's other records first; else those of the model, where the file names its labels.
        self._known = options.label_names or file.label_names
        self._names = {name: at for at, name in enumerate(self._known)}
        self._any_case = {name.casefold(): at for name, at in self._names.items()}
        self._named: bool | None = None
        self._letters = 0

    def _put(self, line: int, row: dict[str, Any], rights: dict[str, Any]) -> None:
        texts = [self._text(row[part], self.parts[part]) for part in ("text", "text2") if part in row]
        most = LETTERS_EACH * self.file.longest
        for at, text in enumerate(texts):
            if len(text) > most and not self.options.truncate:
                raise refuse(
                    "records.token",
                    f"its text has {len(text):,} letters, and the model reads {self.file.longest:,} tokens. "
                    "Cut it",
                )
            texts[at] = text[:most]
        found = self._runner().encode(*texts)
        if len(found.ids) > self.file.longest:
            if not self.options.truncate:
                raise refuse(
                    "records.token",
                    f"its text has {len(found.ids):,} tokens, and the model reads at most "
                    f"{self.file.longest:,}. Cut it, or have texts cut",
                )
            found = _cut(found, self.file.longest)
        if not len(found.ids):
            raise refuse("records.token", "its text has no token at all")
        self.spool.put(line, self._stored(found), self._label(row["label"]), rights)

    def _label(self, value: Any) -> int:
        number = value if isinstance(value, int) else None
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**62:
            number = int(value)
        if isinstance(value, str) and self._named is not True and _WHOLE.fullmatch(value.strip()):
            number = int(value.strip().partition(".")[0])
        if number is None and not (isinstance(value, str) and value.strip()):
            raise refuse("replay.schema", f'its "{self.parts["label"]}" is neither a whole number nor a name')
        if number is not None and not -(2**62) < number < 2**62:
            raise refuse("replay.schema", f'its "{self.parts["label"]}" is no label')
        if self._named is None:
            self._named = number is None
        if self._named != (number is None):
            raise refuse("replay.schema", "its label is a number and others are names, or the other way")
        return int(number) if number is not None else self._number(str(value).strip())

    def _number(self, name: str) -> int:
        if name in self._names:
            return self._names[name]
        if self._known:
            if name.casefold() in self._any_case and len(self._any_case) == len(self._known):
                return self._any_case[name.casefold()]
            whose = "task" if self.options.label_names else "model"
            shown = ", ".join(shorten(one, 30) for one in self._known[:8])
            raise refuse(
                "replay.schema",
                f"its label “{shorten(name, 40)}” is none of the labels that the {whose} has: {shown}; "
                "name it as there, or give numbers from 0 on",
            )
        self._letters += len(name)
        if len(name) > 200 or not name.isprintable():
            raise refuse("replay.schema", "its label is no name of at most 200 letters")
        if len(self._names) >= MOST_NAMES or self._letters > limits.RIGHTS_LETTERS:
            # A column of texts was taken for the labels, most likely.
            raise refuse(
                "records.mapping",
                f"The column {shorten(self.parts['label'], 40)} holds more than {len(self._names):,} "
                "different labels. Say which column the labels are in.",
            )
        self._names[name] = len(self._names)
        return self._names[name]

    def label_names(self) -> list[str]:
        if not self._named:
            return []
        return list(self._known) or sorted(self._names)

    def ranks(self) -> NDArray[np.int64] | None:
        if not self._named or self._known:
            return None
        order = {name: at for at, name in enumerate(sorted(self._names))}
        return np.array([order[name] for name in self._names], np.int64)


class LanguageTexts(TextRows):
    """Plain texts, cut into blocks; prompts with what should follow, or chats; or ids of tokens.

    A block is at most as long as the model reads. Of a text's last block at least two tokens stay, or it is
    left out: there is nothing to predict in one.
    """

    def __init__(
        self, file: TokenizerFile, options: TextOptions, spool: TokenSpool, columns: list[str]
    ) -> None:
        super().__init__(file, options, spool, columns)
        self._length = min(options.length, file.longest)

    def _put(self, line: int, row: dict[str, Any], rights: dict[str, Any]) -> None:
        if "prompt" in row:
            asked, said = (self._text(row[part], self.parts[part]) for part in ("prompt", "completion"))
            self._pair(line, asked, said, rights)
        elif "messages" in row:
            asked, said = prompt_and_completion(row["messages"], self.parts["messages"])
            self._pair(line, asked, said, rights)
        elif "tokens" in row:
            self._blocks(line, self._given(row["tokens"]), rights)
        else:
            self.document(line, self._text(row["text"], self.parts["text"]), rights)

    def document(self, line: int, text: str, rights: dict[str, Any]) -> None:
        """One plain text. Raises NocturneInputError."""
        before, after = self._runner().frame
        self._blocks(line, np.concatenate([before, self._runner().plain(text), after]), rights)

    def _blocks(self, line: int, ids: NDArray[np.int64], rights: dict[str, Any]) -> None:
        if len(ids) < 2:
            raise refuse("records.token", "its text has fewer than two tokens, so nothing in it follows")
        for start in range(0, len(ids), self._length):
            block = ids[start : start + self._length]
            if len(block) >= 2:
                self.spool.put(line, block + self.file.shift, 0, rights)

    def _pair(self, line: int, asked: str, said: str, rights: dict[str, Any]) -> None:
        letters, most = len(asked) + len(said), self.file.longest
        if letters > LETTERS_EACH * most:
            raise refuse(
                "records.token", f"it has {letters:,} letters, and the model reads {most:,} tokens. Cut it"
            )
        before, after = self._runner().frame
        prompt = np.concatenate([before, self._runner().plain(asked)])
        rest = np.concatenate([self._runner().plain(said), after])
        count = len(prompt) + len(rest)
        if count > most:
            raise refuse(
                "records.token",
                f"its prompt and completion have {count:,} tokens, and the model reads at most {most:,}. "
                "Cut the prompt, so that the completion fits",
            )
        if count <= max(1, len(prompt)):
            raise refuse("records.token", "its completion has no token, so nothing is to be said")
        self.spool.put(line, np.concatenate([prompt, rest]) + self.file.shift, len(prompt), rights)

    def _given(self, value: Any) -> NDArray[np.int64]:
        if not isinstance(value, list) or not all(type(one) is int and abs(one) < 2**31 for one in value):
            raise refuse("replay.schema", f'its "{self.parts["tokens"]}" is no list of whole numbers')
        hint = "The ids are of another tokenizer"
        return check_ids(np.asarray(value, np.int64), self.file.vocabulary, hint)


class Questions(TextRows):
    """A question, a context, and the answer as the letters of the context at its place.

    What is longer than the model is read in windows that share `STRIDE` tokens; those without the answer are
    left out. For a probe the window stays that shows most around the answer.
    """

    def _put(self, line: int, row: dict[str, Any], rights: dict[str, Any]) -> None:
        question = self._text(row["question"], self.parts["question"])
        context = self._text(row["context"], self.parts["context"])
        answer, start = _answer(row)
        if context[start : start + len(answer)] != answer or start < 0:
            raise refuse("replay.schema", "its answer is not in the context at the place that it names")
        if len(question) > LETTERS_EACH * self.file.longest:
            raise refuse("records.token", f"its question has {len(question):,} letters. Cut it")
        if len(context) > LETTERS_OF_CONTEXT:
            raise refuse(
                "records.token",
                f"its context has {len(context):,} letters; at most {LETTERS_OF_CONTEXT:,} are read. Cut "
                "it around the answer",
            )
        found = self._runner().encode(question, context, places=True)
        own = np.flatnonzero(found.of == 1)
        inside = own[(found.spans[own, 1] > start) & (found.spans[own, 0] < start + len(answer))]
        if not len(inside):
            raise refuse("records.token", "its answer has no token at all")
        around = len(found.ids) - len(own)
        room = self.file.longest - around
        if room < 1:
            raise refuse(
                "records.token",
                f"its question has {around:,} tokens, and the model reads at most {self.file.longest:,}. "
                "Cut it",
            )
        first, last = int(inside[0] - own[0]), int(inside[-1] - own[0])
        windows = [
            (at, min(at + room, len(own)))
            for at in _starts(len(own), room)
            if at <= first and last < min(at + room, len(own))
        ]
        if not windows:
            raise refuse(
                "records.token",
                f"its answer has {last - first + 1:,} tokens and lies in no window of {room:,}, which is "
                "what the model reads beside the question. Cut the context around it",
            )
        if self.options.probe:
            windows = [max(windows, key=lambda window: min(first - window[0], window[1] - 1 - last))]
        for begin, end in windows:
            keep = np.concatenate([
                np.arange(own[0]), own[begin:end], np.arange(own[-1] + 1, len(found.ids))
            ])  # fmt: skip
            shift = int(own[0]) - begin
            label = (first + shift) * 65_536 + last + shift
            self.spool.put(line, self._stored(found.part(keep)), label, rights)


def text_rows(file: TokenizerFile, options: TextOptions, spool: TokenSpool, columns: list[str]) -> TextRows:
    """Of the model's objective. Raises NocturneInputError as `TextRows`."""
    kinds: dict[str, type[TextRows]] = {
        "classification": LabelledTexts, "language": LanguageTexts, "extractive-qa": Questions,
    }  # fmt: skip
    if file.objective not in NEEDED:
        raise mapping_error(f"nothing is known of the objective {shorten(file.objective, 40)}")
    return kinds[file.objective](file, options, spool, columns)


def _starts(tokens: int, room: int) -> list[int]:
    """Where windows begin, so that every token is in one."""
    if tokens <= room:
        return [0]
    step = room - min(STRIDE, room // 2)
    return [*range(0, tokens - room, step), tokens - room]


def _cut(found: Encoded, longest: int) -> Encoded:
    """Without the last tokens of the longer text, one after the other, until all fit."""
    count = [int((found.of == which).sum()) for which in (0, 1)]
    room = longest - int((found.of < 0).sum())
    if room < 1:
        raise refuse("records.token", f"what stands around a text leaves no room in {longest:,} tokens")
    shorter = min(*count, room // 2)
    left = [shorter, room - shorter] if count[0] <= count[1] else [room - shorter, shorter]
    rank = np.zeros(len(found.ids), np.int64)
    for which in (0, 1):
        own = found.of == which
        rank[own] = np.arange(count[which])
    limit = np.array([*left, 0])[found.of]
    return found.part((found.of < 0) | (rank < limit))


def _answer(row: Mapping[str, Any]) -> tuple[str, int]:
    """The first answer and where its letters begin."""
    answer: Any
    start: Any
    if "answers" in row:
        told = row["answers"] if isinstance(row["answers"], dict) else {}
        texts, starts = told.get("text"), told.get("answer_start")
        if not isinstance(texts, list) or not isinstance(starts, list):
            raise refuse("replay.schema", 'its answers are not {"text": [...], "answer_start": [...]}')
        if not texts or not starts:
            raise refuse("replay.schema", "it has no answer; only questions with one are learned")
        answer, start = texts[0], starts[0]
    else:
        answer, start = row["answer"], row["answer_start"]
    if isinstance(start, str) and _WHOLE.fullmatch(start.strip()):
        start = int(start.strip().partition(".")[0])
    if not isinstance(answer, str) or not answer or type(start) is not int:
        raise refuse("replay.schema", "its answer is no text with the place where it begins")
    return answer, start


def _rights(row: Mapping[str, Any]) -> dict[str, Any]:
    rights: dict[str, Any] = {}
    for key, name in SPELLINGS.items():
        if key in row and rights.setdefault(name, row[key]) is not row[key]:
            raise refuse("replay.schema", f'"{name}" stands there in two spellings')
    return rights
