"""What a project's texts are read with and for: the current checkpoint's tokenizer, its objective."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from consolidation.families.text_model import text_model
from webapp.core.store import store_path
from webapp.memories.selectors import reader, task_label_names
from webapp.uploads.models import Purpose

if TYPE_CHECKING:
    from webapp.projects.models import Project, Task
    from webapp.uploads.models import Upload

_NAME: Final = "tokenizer.json"
LENGTH: Final = 128  # tokens of a block, unless somebody says another length


def project_tokenizer(project: Project) -> dict[str, Any] | None:
    """What the checker needs of it: {"path", "offset", "size"} and what `text_model` says.

    The path is None when the current checkpoint came without a tokenizer. None when it is no text model.
    """
    current = reader(project)
    told = text_model(current.family, current.config) if current is not None else None
    if current is None or told is None:
        return None
    # An adapter often comes without one: its base has the same words.
    holders = [current, *([current.base] if current.base else [])]
    holder, file = next(
        ((one, extra) for one in holders for extra in one.extras if extra["name"] == _NAME), (None, None)
    )
    if holder is None or file is None:
        return {"path": None, "offset": 0, "size": 0, **told}
    path = str(store_path(project.workspace_id, holder.extras_sha256))
    return {"path": path, "offset": file["offset"], "size": file["size"], **told}


def text_options(upload: Upload, task: Task | None) -> dict[str, Any]:
    """What the person says of texts, and the names that the task's labels have already."""
    told = upload.form.get("texts") or {}
    return {
        "mapping": told.get("mapping") or {},
        "length": told.get("length") or LENGTH,
        "truncate": bool(told.get("truncate")),
        "probe": upload.purpose == Purpose.PROBE,
        "label_names": task_label_names(task, besides=upload.purpose) if task else [],
    }
