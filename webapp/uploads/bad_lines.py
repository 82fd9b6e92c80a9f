"""The first bad lines of a refused file of records, as the confined child tells them: checked, then kept."""

from __future__ import annotations

from typing import Any, Final

from webapp.core.errors import cut

LINES_KEPT: Final = 20
_MOST: Final = 2**62


def bad_lines(detail: Any) -> dict[str, Any]:
    """{"lines": [{"line", "code", "message"}], "total"} with nothing else in it; {} where there is no report.

    Args:
        detail: what the child said; it may be anything.
    """
    if not isinstance(detail, dict) or not isinstance(detail.get("lines"), list):
        return {}
    lines = [
        {"line": item["line"], "code": cut(item["code"], 64), "message": cut(item["message"], 300)}
        for item in detail["lines"][:LINES_KEPT]
        if isinstance(item, dict) and _count(item.get("line")) and {"code", "message"} <= set(item)
    ]
    total = detail.get("total")
    if not lines:
        return {}
    return {"lines": lines, "total": total if _count(total) else len(lines)}


def _count(value: Any) -> bool:
    return type(value) is int and 0 < value < _MOST
