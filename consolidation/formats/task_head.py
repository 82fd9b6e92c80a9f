"""A task's own columns of the model's outputs. Tasks that share a model may each have a head of theirs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats.refusal import refuse
from consolidation.memory.files import OBJECTIVES

if TYPE_CHECKING:
    from consolidation.formats.source import Source


def in_head(source: Source, head: tuple[int, int], classes: int | None) -> Source:
    """The source with its labels, which count from 0 within the head, among all outputs of the model.

    A label that the head does not have lies outside of it afterwards too, and is told as a bad row.

    Args:
        head: (first, last) column, last excluded.
        classes: how many outputs the model has; None: not known yet.

    Raises:
        NocturneInputError: `records.head`: the model does not tell classes apart, has fewer outputs, or the
            file more labels.
    """
    first, last = head
    columns = f"columns {first:,} to {last - 1:,} of the model's outputs"
    if OBJECTIVES[source.objective or "classification"]:
        raise head_error("The model does not tell classes apart, so its tasks have no columns of their own")
    if not 0 <= first < last:
        raise head_error(f"There are no {columns}")
    if classes is not None and last > classes:
        raise head_error(f"There are no {columns}: it has {classes:,}, and they count from 0")
    if len(source.label_names) > last - first:
        shown = ", ".join(shorten(name, 30) for name in source.label_names[:8])
        raise head_error(
            f"The file has {len(source.label_names):,} labels ({shown}), and its task only {columns}"
        )
    return replace(source, labels=source.labels + first, head=head)


def head_error(what: str) -> NocturneInputError:
    """Columns of a task's own that cannot be."""
    return refuse("records.head", f"{what}. Say which columns are the task's, or leave them out.")
