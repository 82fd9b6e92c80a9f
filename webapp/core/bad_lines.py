"""The bad rows of a file of records, as the confined child tells them: checked, then kept."""

from __future__ import annotations

from typing import Any, Final

from webapp.core.errors import cut

LINES_KEPT: Final = 20
UNITS: Final = frozenset({"line", "row", "picture"})
_MOST: Final = 2**62


def bad_lines(detail: Any) -> dict[str, Any]:
    """{"lines": [{"line", "code", "message"}], "total", "unit", "others"} with nothing else in it; {} where
    there is no report. `others` are the rows that are good, where the child said how many.

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
    if not lines:
        return {}
    total, unit, others = detail.get("total"), detail.get("unit"), detail.get("others")
    found = {
        "lines": lines,
        "total": total if _count(total) else len(lines),
        "unit": unit if isinstance(unit, str) and unit in UNITS else "line",
    }
    return found | ({"others": others} if _count(others) else {})


def _count(value: Any) -> bool:
    return type(value) is int and 0 < value < _MOST
