"""The transformers library, found when it is needed; nothing is ever fetched by it.

A person's config never becomes keyword arguments: architectures are built from our own checked fields, and no
function that takes the name or the folder of a model is called.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from consolidation.errors import NocturneInputError, shorten

if TYPE_CHECKING:
    from types import ModuleType


def library(part: str) -> ModuleType:
    """A module of the package, "models.bert.modeling_bert".

    Raises:
        NocturneInputError: `family.extra` when the library is missing or does not load.
    """
    try:
        return import_module(f"transformers.{part}")
    except ModuleNotFoundError as error:
        if error.name != "transformers":
            raise _unusable(error) from error
        raise NocturneInputError(
            "family.extra",
            "This model needs the transformers library, which is not installed here. "
            "Install it with: pip install 'nocturne[llm]'.",
        ) from error
    except (ImportError, RuntimeError, OSError) as error:
        raise _unusable(error) from error


def _unusable(error: Exception) -> NocturneInputError:
    return NocturneInputError(
        "family.extra",
        f"The transformers library is installed but does not load ({shorten(error)}). Install the version "
        "that Nocturne asks for: pip install 'nocturne[llm]'.",
    )
