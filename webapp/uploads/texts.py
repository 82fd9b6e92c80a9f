"""The tokenizer that a project's texts are read with: that of its current checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from consolidation.families.registry import FAMILIES, vocabulary
from webapp.core.store import store_path

if TYPE_CHECKING:
    from webapp.projects.models import Project

_NAME: Final = "tokenizer.json"


def project_tokenizer(project: Project) -> dict[str, Any] | None:
    """What the checker needs of it: {"path", "offset", "size", "longest", "vocabulary"}.

    None when the current checkpoint is no text model, or came without a tokenizer.
    """
    current = project.current
    if current is None or current.family not in FAMILIES:
        return None
    words = vocabulary(current.family, current.config)
    # An adapter often comes without one: its base has the same words.
    holders = [current, *([current.base] if current.base else [])]
    holder, file = next(
        ((one, extra) for one in holders for extra in one.extras if extra["name"] == _NAME), (None, None)
    )
    if not words or holder is None or file is None:
        return None
    return {
        "path": str(store_path(project.workspace_id, holder.extras_sha256)),
        "offset": file["offset"],
        "size": file["size"],
        "longest": FAMILIES[current.family].input_width(current.config),
        "vocabulary": words,
    }
