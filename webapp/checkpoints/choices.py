"""Where a checkpoint came from and what may be done with it."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Origin(models.TextChoices):
    """How the weights came to be."""

    UPLOAD = "upload", _("Uploaded")
    WAKE = "wake", _("Wake")
    SLEEP = "sleep", _("Sleep")


class Standing(models.TextChoices):
    """A candidate was kept, but the project's current checkpoint did not move to it."""

    PROMOTED = "promoted", _("Promoted")
    CANDIDATE = "candidate", _("Candidate")
    BRANCH = "branch", _("Branch")


class Format(models.TextChoices):
    """In which shape a checkpoint came; the keys of `consolidation.formats.tensor_source.FORMATS`."""

    SAFETENSORS = "safetensors", _("safetensors")
    PYTORCH = "pytorch", _("PyTorch")
    GGUF = "gguf", _("GGUF")
    HUGGINGFACE = "huggingface", _("Hugging Face folder")
    PEFT = "peft", _("LoRA adapter (PEFT)")
