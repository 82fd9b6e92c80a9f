"""Wider hidden layers, so that a step takes about as long as the small models of real work: 2 ms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.bench.database import Server

TARGETS = {"wide: what it costs, %": 3.0, "wide: runs that ended with other bits": 0}


def measure(server: Server, sizes: dict[str, int]) -> dict[str, Any]:
    from tests.bench.attempts import compare

    return compare(server, "wide", sizes["width"], pairs=sizes["pairs"], seconds=sizes["seconds"])
