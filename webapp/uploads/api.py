"""The API of uploads: what became of a file."""

from __future__ import annotations

from ninja import Router

router = Router(tags=["uploads"])
