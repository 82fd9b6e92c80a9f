"""Model families: one torch-free description and one adapter each.

`registry.register(spec)` adds one; `wrap(module, input_width, classes)` takes any PyTorch module in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from consolidation.families.module import wrap

__all__ = ["wrap"]


def __getattr__(name: str) -> Any:
    # resolved on first use: the web imports this package without torch
    if name == "wrap":
        from consolidation.families.module import wrap

        return wrap
    raise AttributeError(f"module 'consolidation.families' has no attribute {name!r}")
