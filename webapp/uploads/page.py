"""What the upload panel needs: the fields that it asks, the last uploads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

from consolidation.families.registry import FAMILIES
from consolidation.families.text_model import NEW_HEADS
from webapp.core.errors import NocturneError
from webapp.uploads.local_files import check_local
from webapp.uploads.models import Upload, UploadState

if TYPE_CHECKING:
    from django.utils.functional import Promise

    from webapp.core.requests import MemberRequest
    from webapp.projects.models import Project

SHOWN = 6


def family_choices() -> list[dict[str, str]]:
    """The families that a form can describe, by name and title, the mlp first; others bring their config."""
    return [{"name": spec.name, "title": spec.title} for spec in FAMILIES.values() if spec.fields]


def head_choices() -> list[dict[str, str | Promise]]:
    """The heads that a model without one can be given."""
    words = (_("Sequence classification"), _("Question answering"))
    return [{"value": value, "label": label} for value, label in zip(NEW_HEADS, words, strict=True)]


def family_fields() -> list[dict[str, Any]]:
    """What is asked when a file does not tell; one field for all `families` that ask the same."""
    fields: dict[str, dict[str, Any]] = {}
    for spec in FAMILIES.values():
        for field in spec.fields:
            fields.setdefault(field["name"], {**field, "families": []})["families"].append(spec.name)
    return list(fields.values())


def local_offered(request: MemberRequest) -> bool:
    """Whether this person may take in files of the server's own computer. No query where nobody may."""
    try:
        check_local(request.user, request.META.get("REMOTE_ADDR", ""))
    except NocturneError:
        return False
    return True


def recent_uploads(project: Project, *purposes: str) -> list[Upload]:
    """The last uploads of these purposes that did not simply succeed. One query."""
    return list(
        Upload.objects.filter(project=project, purpose__in=purposes)
        .exclude(state=UploadState.READY)
        .exclude(state=UploadState.ABORTED, error_code="")
        .select_related("user")
        .order_by("-created_at")[:SHOWN]
    )
