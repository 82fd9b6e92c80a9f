"""What a person says of how records are taken in: which part, how many bytes, without bad rows or not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from webapp.core.errors import InvalidInput, cut

IMPORT_FIELDS: Final = frozenset({"split", "resize", "leave_out", "budget"})
RULES: Final = ("class-balanced", "reservoir")
_SPLIT: Final = re.compile(r"[^\x00-\x1f\x7f/\\]{1,100}")
_MOST_BYTES: Final = 2**53


def clean_import(form: Mapping[str, Any]) -> dict[str, Any]:
    """{"split", "resize", "leave_out", "budget"} as they are stored.

    "split": the part of an archive, "" for the only one; "resize" and "leave_out": yes or no; "budget": None,
    or {"bytes", "rule"}, told as {"bytes"} or {"megabytes"} and a rule of RULES.

    Raises:
        InvalidInput: `records.split`, `memories.budget`, `memories.selection`.
    """
    split = str(form.get("split") or "").strip()
    # Half of a character is not printable either, and no database keeps it.
    if split and not (_SPLIT.fullmatch(split) and split.isprintable()):
        raise InvalidInput(
            "records.split", f"“{cut(split, 40)}” is no name of a part. Write a name such as train, or all."
        )
    return {
        "split": split,
        "resize": _yes(form.get("resize")),
        "leave_out": _yes(form.get("leave_out")),
        "budget": _budget(form.get("budget") or {}),
    }


def _yes(value: Any) -> bool:
    return value is True or value == "yes"


def _budget(told: Any) -> dict[str, Any] | None:
    known = {"bytes", "megabytes", "rule"}
    if not isinstance(told, Mapping) or not set(told) <= known or {"bytes", "megabytes"} <= set(told):
        raise InvalidInput(
            "memories.budget", "The budget must be a table of bytes or megabytes, and perhaps a rule."
        )
    rule = told.get("rule") or RULES[0]
    if rule not in RULES:
        raise InvalidInput(
            "memories.selection", f"“{cut(rule, 40)}” is no rule for an import: {', '.join(RULES)}."
        )
    value = told.get("bytes", told.get("megabytes"))
    if value in (None, ""):
        return None
    try:
        size = float(value) * (1 if "bytes" in told else 1e6) if not isinstance(value, bool) else 0.0
    except (TypeError, ValueError, OverflowError):
        size = 0.0
    if not 1 <= size <= _MOST_BYTES:
        raise InvalidInput(
            "memories.budget",
            f"The budget is “{cut(value, 20)}”; write how many megabytes the records may take, or leave it "
            "out.",
        )
    return {"bytes": int(size), "rule": rule}
