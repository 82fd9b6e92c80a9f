"""Transforms that people need most, as choices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.utils.functional import Promise


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
