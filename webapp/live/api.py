"""The stream over HTTP: history, holes, and polling when no socket gets through."""

from __future__ import annotations

from ninja import Router

router = Router(tags=["live"])
