"""Which column of a table of texts is what: told by a person, or guessed by its name. Torch-free.

The parts are those of `PARTS`. The page that previews a file guesses by the same tables (`guess_tables`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats.record_rights import SPELLINGS
from consolidation.formats.refusal import refuse

# What may be told of each objective, and which of it one needs (any of the sets).
PARTS: Final[dict[str, tuple[str, ...]]] = {
    "classification": ("text", "text2", "label"),
    "language": ("text", "prompt", "completion", "messages", "tokens"),
    "extractive-qa": ("question", "context", "answers", "answer", "answer_start"),
}
NEEDED: Final[dict[str, tuple[frozenset[str], ...]]] = {
    "classification": (frozenset({"text", "label"}),),
    "language": (
        frozenset({"prompt", "completion"}),
        frozenset({"messages"}),
        frozenset({"text"}),
        frozenset({"tokens"}),
    ),
    "extractive-qa": (
        frozenset({"question", "context", "answers"}),
        frozenset({"question", "context", "answer", "answer_start"}),
    ),
}
ALL_PARTS: Final = frozenset(part for parts in PARTS.values() for part in parts)
MOST_LETTERS: Final = 200

# Usual names, the surest first. Two texts go together or not at all.
_PAIRS: Final = (
    ("text", "text2"), ("sentence1", "sentence2"), ("question1", "question2"), ("premise", "hypothesis"),
    ("question", "sentence"), ("question", "passage"), ("query", "passage"), ("text_a", "text_b"),
)  # fmt: skip
_NAMES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "classification": {
        "text": (
            "text", "sentence", "sentence1", "content", "review", "body", "document", "comment", "tweet",
            "message", "utterance", "query", "title",
        ),
        "label": ("y", "label", "labels", "class", "category", "sentiment", "intent", "target"),
    },
    "language": {
        "prompt": ("prompt", "instruction", "question", "input"),
        "completion": ("completion", "response", "output", "answer", "target"),
        "text": ("text", "content", "document", "body", "story", "article", "sentence"),
        "messages": ("messages", "conversation", "conversations", "chat"),
        "tokens": ("tokens", "input_ids", "ids"),
    },
    "extractive-qa": {
        "question": ("question", "query"),
        "context": ("context", "passage", "paragraph", "document", "text"),
        "answers": ("answers",),
        "answer": ("answer", "answer_text"),
        "answer_start": ("answer_start", "start"),
    },
}  # fmt: skip


def guess_tables() -> dict[str, Any]:
    """The tables of names, for the page: {"parts", "needed", "pairs", "names", "rights"}."""
    return {
        "parts": PARTS,
        "needed": {name: [sorted(one) for one in sets] for name, sets in NEEDED.items()},
        "pairs": _PAIRS,
        "names": _NAMES,
        "rights": list(SPELLINGS),
    }


def guess(columns: Iterable[str], objective: str) -> dict[str, str] | None:
    """{part: column} by the columns' names; None when no complete answer is among them."""
    by_name: dict[str, str] = {}
    for column in columns:
        by_name.setdefault(column.strip().lower(), column)
    found = {
        part: by_name[next(name for name in names if name in by_name)]
        for part, names in _NAMES[objective].items()
        if any(name in by_name for name in names)
    }
    if objective == "classification":
        for first, second in _PAIRS:
            if first in by_name and second in by_name:
                found |= {"text": by_name[first], "text2": by_name[second]}
                break
    for needed in NEEDED[objective]:
        if needed <= found.keys():
            optional = {"text2"} if objective == "classification" else set()
            return {part: column for part, column in found.items() if part in needed | optional}
    return None


def check_mapping(told: Mapping[str, Any], objective: str | None = None) -> dict[str, str]:
    """A clean copy of what a person told: {part: column}, empty answers left out.

    Raises:
        NocturneInputError: `records.mapping`.
    """
    known = ALL_PARTS if objective is None else frozenset(PARTS[objective])
    clean: dict[str, str] = {}
    for part, column in told.items():
        if column in (None, ""):
            continue
        if part not in known:
            raise mapping_error(f"“{shorten(part, 40)}” is no part of a record")
        if not isinstance(column, str) or len(column) > MOST_LETTERS or not column.isprintable():
            raise mapping_error(f"the column told for {part} has no name that a column can have")
        clean[str(part)] = column
    if objective is not None and clean and not any(needed <= clean.keys() for needed in NEEDED[objective]):
        raise mapping_error(f"it names only {', '.join(sorted(clean))}", objective)
    return clean


def mapping_error(what: str, objective: str = "") -> NocturneInputError:
    """Columns that were told, or are there, and do not make a record."""
    wanted = " or ".join(
        " and ".join(part for part in PARTS[objective] if part in needed)
        for needed in NEEDED.get(objective, ())
    )
    asks = f"This model's records need {wanted}. " if wanted else ""
    return refuse(
        "records.mapping",
        f"The columns cannot be read as texts: {what}. {asks}Say which column is which before you upload it.",
    )


def choose(columns: list[str], told: Mapping[str, str], objective: str) -> dict[str, str]:
    """{part: column} for a table with these columns.

    Raises:
        NocturneInputError: `records.mapping`: a told column is not there, or nothing was told and the names
            do not tell.
    """
    if told:
        if missing := [column for column in told.values() if column not in columns]:
            raise mapping_error(
                f"there is no column “{shorten(missing[0], 40)}”; there are {_listed(columns)}", objective
            )
        return dict(told)
    found = guess(columns, objective)
    if found is None:
        raise mapping_error(f"their names do not tell what they are ({_listed(columns)})", objective)
    return found


def _listed(columns: list[str]) -> str:
    return ", ".join(shorten(name, 30) for name in columns[:8]) + (", ..." if len(columns) > 8 else "")
