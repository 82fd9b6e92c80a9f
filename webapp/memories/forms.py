"""Transforms that people need most, as choices; the parts of a row of texts in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy as _

from consolidation.formats import mapping

if TYPE_CHECKING:
    from django.utils.functional import Promise


# What a column of texts can be, for people.
PARTS: Final[dict[str, str | Promise]] = {
    "text": _("Text"),
    "text2": _("Second text"),
    "label": _("Label"),
    "prompt": _("Prompt"),
    "completion": _("Completion"),
    "messages": _("Messages of a chat"),
    "tokens": _("Token ids"),
    "question": _("Question"),
    "context": _("Context"),
    "answers": _("Answers (SQuAD)"),
    "answer": _("Answer"),
    "answer_start": _("Where it begins"),
}


def text_parts(objective: str) -> list[dict[str, str | Promise]]:
    """The parts that may be told for a model, {"name", "label"}; none where records are numbers."""
    return [{"name": part, "label": PARTS[part]} for part in mapping.PARTS.get(objective, ())]


@dataclass(frozen=True)
class TransformPreset:
    """A named transform; the model is given (x * scale - mean) / sd. No numbers: the file's own, or none."""

    name: str
    label: str | Promise
    scale: float | None = None
    mean: float = 0.0
    sd: float = 1.0


TRANSFORM_PRESETS = (
    TransformPreset("file", _("As the file says, else as stored")),
    TransformPreset("pixels", _("Pixels 0–255 to 0–1"), 1 / 255),
    TransformPreset("centred", _("Pixels 0–255 to −1–1"), 1 / 255, 0.5, 0.5),
    TransformPreset("mnist", _("Pixels 0–255, MNIST mean and deviation"), 1 / 255, 0.1307, 0.3081),
    TransformPreset("digits", _("Values 0–16 to 0–1"), 1 / 16),
    TransformPreset("custom", _("My own numbers"), 1.0),
)
