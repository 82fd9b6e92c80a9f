"""What the upload panel needs: the words that its script says, the fields that it asks, the last uploads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from consolidation.families.registry import FAMILIES
from webapp.uploads.models import Upload, UploadState

if TYPE_CHECKING:
    from webapp.projects.models import Project

SHOWN = 6


def panel_words() -> dict[str, str]:
    """Every sentence of `upload.js`; {names} are filled in by the script."""
    return {
        "sending": _("{done} of {size} · {rate}/s · {left}"),
        "starting": _("{done} of {size}"),
        "left": _("{time} left"),
        "seconds": _("{n} s"),
        "minutes": _("{n} min"),
        "hours": _("{n} h"),
        "received": _("All {size} received in {time}"),
        "verifying": _("Verifying: every tensor and record is read and written again in a closed room."),
        "ready": _("Ready"),
        "cancelled": _("Cancelled. Nothing was kept."),
        "offline": _(
            "The connection broke at {done} of {size}. Nothing was kept. Upload the file again when it is "
            "back."
        ),
        "silent": _("The server does not answer; the file is safe there. Trying again."),
        "announce": _("Uploading {name}, {percent} %"),
        "tensors": _("{n} tensors, {values} values"),
        "described": _("The file says that it is {family}."),
        "asks": _("The file does not say all about its model, so please tell."),
        "pytorch": _("Weights of PyTorch. The server reads the tensors; code in the file is never run."),
        "gguf": _(
            "A GGUF model. The server reads its tensors and description; its chat template is never run."
        ),
        "folder": _(
            "A model's folder. The server reads its config, weights and tokenizer; code in it is never run."
        ),
        "folderasks": _("Only if there is no config.json in it: which family is it?"),
        "unreadable": _("This does not look like safetensors. The server will say what it is."),
        "leave": _("An upload is running. It stops when you leave."),
    }


def family_choices() -> list[dict[str, str]]:
    """The families that a form can describe, by name and title, the mlp first; others bring their config."""
    return [{"name": spec.name, "title": spec.title} for spec in FAMILIES.values() if spec.fields]


def family_fields() -> list[dict[str, Any]]:
    """What is asked when a file does not tell; one field for all `families` that ask the same."""
    fields: dict[str, dict[str, Any]] = {}
    for spec in FAMILIES.values():
        for field in spec.fields:
            fields.setdefault(field["name"], {**field, "families": []})["families"].append(spec.name)
    return list(fields.values())


def recent_uploads(project: Project, *purposes: str) -> list[Upload]:
    """The last uploads of these purposes that did not simply succeed. One query."""
    return list(
        Upload.objects.filter(project=project, purpose__in=purposes)
        .exclude(state=UploadState.READY)
        .exclude(state=UploadState.ABORTED, error_code="")
        .select_related("user")
        .order_by("-created_at")[:SHOWN]
    )
