"""Which reader reads a checkpoint: the content decides, the file's name does not."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from consolidation.formats import limits
from consolidation.formats.folder import KINDS as FOLDERS
from consolidation.formats.folder import open_folder
from consolidation.formats.model_folder import open_model_folder
from consolidation.formats.pytorch import open_pytorch
from consolidation.formats.refusal import refuse
from consolidation.formats.safetensors_source import open_safetensors
from consolidation.formats.sniff import refuse_kind, sniff

if TYPE_CHECKING:
    from consolidation.formats.region import Region
    from consolidation.formats.tensor_source import TensorSource

WANTED: Final = (
    "a checkpoint (safetensors, GGUF, weights that torch.save wrote, or a model's folder as a zip or tar)"
)


def open_weights(
    region: Region,
    *,
    filename: str,
    spool: Path,
    limit_bytes: int,
    stack: ExitStack,
    strict: bool = False,
) -> TensorSource:
    """The tensors of a checkpoint, whatever its format; not one of them is read yet.

    Args:
        region: the file.
        filename: the person's name for it, for sentences.
        spool: a prefix in a folder that may be written, for what has to be unpacked first.
        limit_bytes: the most that unpacking may write.
        stack: closes and removes what has to stay until the tensors were read.
        strict: a folder may not even contain programs, pickles and the like.

    Raises:
        NocturneInputError: with a code of `refusal.CODES`.
    """
    kind = sniff(region)
    if kind in {"torch-zip", "pickle"}:
        return open_pytorch(region, filename=filename, spool=spool, limit_bytes=limit_bytes, stack=stack)
    if kind in FOLDERS:
        folder = open_folder(
            region, kind, filename=filename, spool=spool, limit_bytes=limit_bytes, stack=stack
        )
        return open_model_folder(folder, filename=filename, stack=stack, strict=strict)
    if kind == "gguf":
        from consolidation.formats.gguf import open_gguf  # its tables of number formats take time to load

        return open_gguf(region, filename=filename)
    if kind in {"safetensors", "unknown"}:
        return open_safetensors(region)
    raise refuse_kind(kind, wanted=WANTED, filename=filename)


def ensure_within(source: TensorSource, limit_bytes: int) -> None:
    """Raises NocturneInputError (`weights.expansion_limit`) when the tensors, written out, need more room."""
    total = sum(entry.size for entry in source.tensors.values())
    if total > limit_bytes:
        raise refuse(
            "weights.expansion_limit",
            f"Written out, the {len(source.tensors):,} tensors of this file take {total:,} bytes; there is "
            f"room for {limit_bytes:,}. Delete what is not needed any more, or ask an owner for more room.",
            total=total,
            limit=limit_bytes,
        )
    if len(source.tensors) > limits.TENSORS:
        raise refuse(
            "safetensors.limit_exceeded",
            f"The file names {len(source.tensors):,} tensors; at most {limits.TENSORS:,} are read.",
        )
