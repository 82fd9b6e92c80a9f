"""The transformers library, found when it is needed; nothing is ever fetched by it.

A person's config never becomes keyword arguments: architectures are built from our own checked fields, and no
function that takes the name or the folder of a model is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from consolidation.families.extra import extra_library

if TYPE_CHECKING:
    from types import ModuleType


def library(part: str) -> ModuleType:
    """A module of the package, "models.bert.modeling_bert". Raises NocturneInputError (`family.extra`)."""
    mend = "Install the version that Nocturne asks for: pip install 'nocturne[llm]'."
    return cast("ModuleType", extra_library(f"transformers.{part}", extra="llm", mend=mend))
