"""The demo's model, 64-100-100-10: a step is a fraction of a millisecond, so this is the hardest case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.bench.database import Server

TARGETS = {"digits: runs that ended with other bits": 0}


def measure(server: Server, sizes: dict[str, int]) -> dict[str, Any]:
    from tests.bench.attempts import compare

    return compare(server, "digits", 100, pairs=sizes["pairs"], seconds=sizes["seconds"])
