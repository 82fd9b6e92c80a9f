"""Libraries that come with an extra of the installation, found when a family needs them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from consolidation.errors import NocturneInputError, shorten


def extra_library(module: str, *, extra: str, mend: str) -> Any:
    """A module of such a library, "timm" or "transformers.models.bert".

    Args:
        extra: the name of the extra that brings it.
        mend: what to do when it is there and does not load; a whole sentence.

    Raises:
        NocturneInputError: `family.extra` when the library is missing or does not load.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except (ImportError, RuntimeError, OSError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == package:
            raise NocturneInputError(
                "family.extra",
                f"This model needs the {package} library, which is not installed here. "
                f"Install it with: pip install 'nocturne[{extra}]'.",
            ) from error
        raise NocturneInputError(
            "family.extra",
            f"The {package} library is installed but does not load ({shorten(error)}). {mend}",
        ) from error
