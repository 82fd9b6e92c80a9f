"""What a text model wants of its records, told without torch: how ids are stored, and what is asked of them.

A record is ids of tokens and 0 at its end. A language model's id 0 may be a word, so its ids are stored plus
one; an encoder's 0 is [PAD], and a token of the second of two texts is stored plus the vocabulary's size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypedDict

from consolidation.families.registry import FAMILIES, family_objective, family_spec, reader, vocabulary
from consolidation.memory.files import OBJECTIVES

# How many values a label has that is no class.
PLACES: Final = frozenset(most for most in OBJECTIVES.values() if most)
# The heads that a model without one can be given (see `formats.fresh_head`).
NEW_HEADS: Final = ("sequence-classification", "question-answering")
# A label of 16 bits says where a prompt ends or a span begins.
MOST_PLACES: Final = 65_535


class TextModel(TypedDict):
    """Attributes:
    objective: what is asked of a record.
    longest: tokens that the model reads at most.
    vocabulary: how many tokens it knows.
    shift: what is added to every id.
    second: what is added besides to ids of the second text; 0: the model knows one kind of text.
    label_names: what the model calls the labels 0, 1, ...; empty where it does not.
    """

    objective: str
    longest: int
    vocabulary: int
    shift: int
    second: int
    label_names: tuple[str, ...]


def text_model(family: object, config: Mapping[str, Any]) -> TextModel | None:
    """None for a model whose records are plain numbers, and for an adapter whose base nobody has said."""
    if not isinstance(family, str) or family not in FAMILIES:
        return None
    family, config = reader(family, config)
    if not vocabulary(family, config):
        return None
    words, objective = int(config["vocab_size"]), family_objective(family, config)
    return {
        "objective": objective,
        "longest": min(FAMILIES[family].input_width(config), MOST_PLACES),
        "vocabulary": words,
        "shift": 1 if objective == "language" else 0,
        "second": words if int(config.get("type_vocab_size", 1)) > 1 else 0,
        "label_names": tuple(config.get("label_names") or ()),
    }


def label_count(family: object, config: Mapping[str, Any]) -> int:
    """How many values a record's label can have: classes, or what says where something lies."""
    return OBJECTIVES[family_objective(family, config)] or family_spec(family).outputs(config)
