"""What pictures must look like to be records of a project: the size, colours and layout of its checkpoint."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from webapp.memories.selectors import project_fit

if TYPE_CHECKING:
    from webapp.projects.models import Project


def project_picture(project: Project) -> dict[str, Any]:
    """{"channels", "height", "width", "layout"} of the current checkpoint; {} where nothing says so.

    A model of plain numbers takes a square picture where its width is one, grey or coloured.
    """
    current = project.current
    told = current.config.get("input") if current is not None else None
    if current is not None and isinstance(told, list) and len(told) == 3:
        channels, height, width = told
        layout = current.config.get("layout", "chw")
        return {"channels": channels, "height": height, "width": width, "layout": layout}
    fit = project_fit(project)
    if fit.width is None or fit.tokens:
        return {}
    for channels in (1, 3):
        side = math.isqrt(fit.width // channels)
        if channels * side * side == fit.width:
            return {"channels": channels, "height": side, "width": side, "layout": "hwc"}
    return {}
