"""What a person says about a file before sending it, checked field by field; nothing else is kept."""

from __future__ import annotations

import contextlib
import datetime as dt
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from consolidation.errors import NocturneInputError
from consolidation.families.registry import FAMILIES
from consolidation.families.text_model import MOST_PLACES, NEW_HEADS, text_model
from consolidation.formats.mapping import ALL_PARTS, check_mapping
from webapp.checkpoints.models import Checkpoint
from webapp.core.errors import InvalidInput, NocturneError, cut
from webapp.memories.retention import MOST_DAYS
from webapp.memories.selectors import Fit, project_fit, reader, task_head
from webapp.memories.services import PLACES, check_head
from webapp.projects.models import Task
from webapp.uploads.declared_import import IMPORT_FIELDS, clean_import
from webapp.uploads.models import Purpose
from webapp.uploads.tokenizer import check_attach

if TYPE_CHECKING:
    from webapp.projects.models import Project

_CHECKPOINT: Final = frozenset({"family", "config", "wake", "base", "head"})
_TOKENIZER: Final = frozenset({"checkpoint"})
_MOST_CLASSES: Final = 65_536
_RECORDS: Final = IMPORT_FIELDS | {
    "task", "transform", "classes", "head", "rights", "rights_required", "retention_days", "texts",
}  # fmt: skip
_TEXTS: Final = frozenset({"mapping", "length", "truncate"})
_RIGHTS: Final = frozenset({"owner", "licence", "purpose", "source", "expiry"})
_MOST: Final = 1e15


def clean_form(*, project: Project, purpose: str, form: Mapping[str, Any]) -> dict[str, Any]:
    """The form of an upload as it is stored.

    A checkpoint: {"family", "config": {field: text}, "wake": {"examples", "lr"}, "base": the id of the
    checkpoint that a LoRA adapter was trained on, "head": {"kind", "classes", "seed"} that a BERT without one
    is to get}, all optional. A tokenizer: {"checkpoint": id}. Records:
    {"task": id, "transform": {"scale", "mean", "sd"} or None for the file's own, "classes": n or None,
    "head": [first, last) of the columns that are the task's own (said as {"first", "last"}, last included) or
    None,
    "rights": {"owner", "licence", "purpose", "source", "expiry"} of the whole set, each optional,
    "rights_required": whether a record without an owner, or a licence or purpose, refuses the set,
    "retention_days": after how many days the records expire, or None, "texts": {"mapping": {part: column},
    "length": tokens of a block or None, "truncate": whether long ones are cut, "tokens": whether a tokenizer
    reads them}}, and what `declared_import` says.

    Raises:
        InvalidInput: a field with a value that cannot be; NocturneError `field.read_only` (400): an unknown
        one.
    """
    known = {Purpose.CHECKPOINT: _CHECKPOINT, Purpose.TOKENIZER: _TOKENIZER}.get(Purpose(purpose), _RECORDS)
    refuse_unknown(form, known)
    if purpose == Purpose.TOKENIZER:
        return _tokenizer(project, form)
    return _checkpoint(project, form) if purpose == Purpose.CHECKPOINT else _records(project, purpose, form)


def refuse_unknown(values: Mapping[str, Any], known: frozenset[str]) -> None:
    """Raises NocturneError (`field.read_only`, 400) for a field that nobody may set."""
    unknown = sorted(set(values) - known)
    if unknown:
        raise NocturneError(
            "field.read_only", f"“{cut(unknown[0])}” cannot be set; allowed: {', '.join(sorted(known))}."
        )


def _checkpoint(project: Project, form: Mapping[str, Any]) -> dict[str, Any]:
    clean: dict[str, Any] = {}
    if base := form.get("base"):
        with contextlib.suppress(ValueError):
            row = Checkpoint.objects.filter(project=project, pk=UUID(str(base))).first()
            clean["base"] = str(row.pk) if row else ""
        if not clean.get("base"):
            raise InvalidInput(
                "peft.base", "The base must be a checkpoint of this project. Choose one, or leave it out."
            )
    if family := form.get("family"):
        if not isinstance(family, str) or family not in FAMILIES:
            raise InvalidInput(
                "checkpoint.family_unknown",
                f"“{cut(family)}” is no family that Nocturne knows: {', '.join(FAMILIES)}. Choose one of "
                "these.",
            )
        clean["family"] = family
    config = form.get("config") or {}
    fields = {field["name"] for spec in FAMILIES.values() for field in spec.fields}
    if not isinstance(config, Mapping):
        raise InvalidInput("upload.form", "The description of the model must be a table of fields.")
    refuse_unknown(config, frozenset(fields))
    clean["config"] = {name: _plain(value) for name, value in config.items() if value not in (None, "")}
    wake = form.get("wake") or {}
    if not isinstance(wake, Mapping):
        raise InvalidInput("upload.form", "What is known of the training must be a table: examples, lr.")
    refuse_unknown(wake, frozenset({"examples", "lr"}))
    clean["wake"] = {}
    if (
        examples := _number(wake, "examples", "The number of training examples", least=1, most=_MOST)
    ) is not None:
        clean["wake"]["examples"] = int(examples)
    if (rate := _number(wake, "lr", "The learning rate", least=1e-12, most=1e3)) is not None:
        clean["wake"]["lr"] = rate
    return clean | _head(form)


def _tokenizer(project: Project, form: Mapping[str, Any]) -> dict[str, Any]:
    checkpoint = None
    with contextlib.suppress(ValueError):
        rows = Checkpoint.everything.filter(project=project)
        checkpoint = rows.filter(pk=UUID(str(form.get("checkpoint")))).first()
    if checkpoint is None:
        raise InvalidInput("upload.checkpoint", "Choose the checkpoint that this tokenizer belongs to.")
    check_attach(checkpoint)
    return {"checkpoint": str(checkpoint.pk)}


def _head(form: Mapping[str, Any]) -> dict[str, Any]:
    told = form.get("head") or {}
    if not isinstance(told, Mapping):
        raise InvalidInput("upload.form", "The new head must be a table: kind, classes, seed.")
    refuse_unknown(told, frozenset({"kind", "classes", "seed"}))
    kind = told.get("kind") or ""
    if kind == "":
        return {}
    if kind not in NEW_HEADS:
        raise InvalidInput(
            "checkpoint.head", f"“{cut(kind)}” is no head; choose one of {', '.join(NEW_HEADS)}."
        )
    classes = _number(told, "classes", "The number of classes", least=2, most=_MOST_CLASSES, default=2)
    seed = _number(told, "seed", "The seed", least=0, most=2**32, default=0)
    return {"head": {"kind": kind, "classes": int(classes or 2), "seed": int(seed or 0)}}


def _records(project: Project, purpose: str, form: Mapping[str, Any]) -> dict[str, Any]:
    task = None
    with contextlib.suppress(ValueError):
        task = Task.objects.filter(project=project, pk=UUID(str(form.get("task")))).first()
    if task is None:
        raise InvalidInput("upload.task", "Choose the task that these records belong to, or add it first.")
    clean: dict[str, Any] = {"task": str(task.pk), "transform": None}
    transform = form.get("transform")
    if transform is not None:
        if not isinstance(transform, Mapping):
            raise InvalidInput("records.transform", "The transform must be a table: scale, mean, sd.")
        refuse_unknown(transform, frozenset({"scale", "mean", "sd"}))
        clean["transform"] = {
            name: _number(transform, name, name, least=-1e9, most=1e9, default=default)
            for name, default in (("scale", 1.0), ("mean", 0.0), ("sd", 1.0))
        }
        for name, least in (("scale", -math.inf), ("sd", 0.0)):
            value = clean["transform"][name]
            if value == 0 or value < least:
                what = "must not be 0" if name == "scale" else "must be above 0"
                raise InvalidInput("records.transform", f"The transform's {name} is {value:g}; it {what}.")
    told = _number(form, "classes", "The number of classes", least=1, most=1_000_000)
    fit = project_fit(project, besides=(task, purpose))
    if told is not None and fit.classes is not None and int(told) != fit.classes:
        raise InvalidInput(
            "records.label_range",
            f"To fit {cut(fit.because, 160)} there must be {fit.classes} classes, not {int(told)}. "
            "Leave the number as it is.",
        )
    clean["classes"] = fit.classes if fit.classes is not None else (int(told) if told is not None else None)
    clean["head"] = _columns(form, task, purpose, fit, clean["classes"])
    days = _number(form, "retention_days", "The number of days to keep the records", least=1, most=MOST_DAYS)
    clean["retention_days"] = int(days) if days is not None else None
    return clean | _rights(form) | clean_import(form) | {"texts": _texts(project, form)}


def _columns(
    form: Mapping[str, Any], task: Task, use: str, fit: Fit, classes: int | None
) -> list[int] | None:
    """What is said of the task's own columns; where nothing is said, what its other sets have."""
    told = form.get("head") or {}
    if not isinstance(told, Mapping):
        raise InvalidInput("records.head", "The task's own columns must be a table: first, last.")
    refuse_unknown(told, frozenset({"first", "last"}))
    most = _MOST_CLASSES - 1
    first = _number(told, "first", "The first of the task's columns", least=0, most=most)
    last = _number(told, "last", "The last of the task's columns", least=0, most=most)
    if first is None and last is None:
        return task_head(task, besides=use) or None
    if fit.objective in PLACES:
        raise InvalidInput(
            "records.head",
            f"A task has no columns of its own where {cut(fit.because, 160)} {PLACES[fit.objective]}. Leave "
            "them out.",
        )
    if first is None or last is None or not (first.is_integer() and last.is_integer()) or first > last:
        raise InvalidInput(
            "records.head",
            "The task's own columns need both a first and a last, whole numbers from 0 in rising order. "
            "Correct them, or leave both out.",
        )
    if classes is None:
        raise InvalidInput(
            "records.head",
            "Which columns are the task's is known only with their number. Say too how many classes the "
            "model tells apart.",
        )
    if last >= classes:
        raise InvalidInput(
            "records.head",
            f"The task's columns end with {int(last)}, and the model has {classes}, which count from 0. "
            f"Choose a last one of at most {classes - 1}.",
        )
    return check_head(task, use, [int(first), int(last) + 1])


def _texts(project: Project, form: Mapping[str, Any]) -> dict[str, Any]:
    told = form.get("texts") or {}
    if not isinstance(told, Mapping):
        raise InvalidInput("upload.form", "What is said of texts must be a table: mapping, length, truncate.")
    refuse_unknown(told, _TEXTS)
    mapping = told.get("mapping") or {}
    if not isinstance(mapping, Mapping):
        raise InvalidInput("records.mapping", "The mapping must be a table of parts and their columns.")
    refuse_unknown(mapping, ALL_PARTS)
    current = reader(project)
    model = text_model(current.family, current.config) if current is not None else None
    try:
        clean = check_mapping(mapping, model["objective"] if model else None)
    except NocturneInputError as error:
        raise InvalidInput(error.code, error.message) from None
    length = _number(told, "length", "The length of a block", least=2, most=MOST_PLACES)
    truncate = told.get("truncate")
    return {
        "mapping": clean,
        "length": None if length is None else int(length),
        "truncate": truncate is True or truncate == "yes",
        "tokens": model is not None,
    }


def _rights(form: Mapping[str, Any]) -> dict[str, Any]:
    rights = form.get("rights") or {}
    if not isinstance(rights, Mapping):
        raise InvalidInput(
            "replay.rights", "The rights must be a table: owner, licence, purpose, source, expiry."
        )
    refuse_unknown(rights, _RIGHTS)
    clean = {name: _plain(value).strip() for name, value in rights.items() if value not in (None, "")}
    if until := clean.get("expiry"):
        try:
            dt.date.fromisoformat(until)
        except ValueError as error:
            raise InvalidInput(
                "replay.rights", f"The expiry is “{cut(until, 40)}”; write a date such as 2027-01-31."
            ) from error
    required = form.get("rights_required")
    return {"rights": clean, "rights_required": required is True or required == "yes"}


def _plain(value: object) -> str:
    """Text that the database can keep: no NUL, no half of a character."""
    return cut(str(value).encode(errors="replace").decode())


def _number(
    values: Mapping[str, Any],
    name: str,
    title: str,
    *,
    least: float,
    most: float,
    default: float | None = None,
) -> float | None:
    value = values.get(name)
    if value is None or value == "":
        return default
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not least <= number <= most:
        raise InvalidInput(
            "upload.number", f"{title} is “{cut(value, 20)}”; it must be a number from {least:g} to {most:g}."
        )
    return number
