"""Making checkpoints: numbered under the project's lock, and the project's pointer moved with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import transaction

from consolidation.errors import NocturneInputError
from consolidation.families.registry import family_spec
from webapp.checkpoints.bases import ADAPTER, base_on_arrival
from webapp.checkpoints.choices import Origin, Standing
from webapp.checkpoints.models import Checkpoint
from webapp.core import audit
from webapp.core.errors import InvalidInput
from webapp.projects.models import Project

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.cycles.models import Cycle
    from webapp.uploads.models import Upload


@dataclass(frozen=True)
class KeptFiles:
    """What makes the download of a checkpoint the thing that came.

    Attributes:
        format: a key of `consolidation.formats.tensor_source.FORMATS`.
        extras_sha256: the stored file with the companions, "" without any.
        extras: [{"name", "offset", "size", "crc32"}].
        crc32: of the weights, when there are companions.
        notes: one sentence each.
    """

    format: str = "safetensors"
    extras_sha256: str = ""
    extras: tuple[dict[str, Any], ...] = ()
    crc32: int | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, parent: Checkpoint | None, crc32: int | None = None) -> KeptFiles:
        """A child comes home in its parent's shape; `crc32` is that of its own weights."""
        if parent is None:
            return cls()
        return cls(parent.format, parent.extras_sha256, tuple(parent.extras), crc32)

    def fields(self) -> dict[str, Any]:
        """As a checkpoint's fields."""
        return {
            "format": self.format,
            "extras_sha256": self.extras_sha256,
            "extras": list(self.extras),
            "crc32": self.crc32,
            "notes": list(self.notes),
        }


@transaction.atomic
def checkpoint_create(
    *,
    project: Project,
    cycle: Cycle | None,
    parent: Checkpoint | None,
    origin: str,
    standing: str,
    sha256: str,
    size_bytes: int,
    family: str,
    config: dict[str, Any],
    tensors: list[dict[str, Any]],
    parameters: int,
    non_finite: bool,
    wake: dict[str, Any],
    fisher_sha256: str = "",
    base: Checkpoint | None = None,
    kept: KeptFiles | None = None,
    filename: str = "",
    actor: User | None = None,
) -> Checkpoint:
    """The next version of a line. A promoted one becomes the project's current checkpoint in the same
    transaction.

    The content must be in the store already (`core.store.store_put`). Numbers are never used twice.

    Args:
        base: of an adapter, what it lies over; the caller has seen that it fits and is no way out.
        kept: format and companion files; None: those of the parent.

    Raises:
        InvalidInput: the config is none of its family.
    """
    try:
        config = family_spec(family).validate_config(config)
    except NocturneInputError as error:
        raise InvalidInput(error.code, error.message, **error.detail) from None
    locked = Project.objects.select_for_update().get(pk=project.pk)
    locked.last_checkpoint_number += 1
    checkpoint = Checkpoint.objects.create(
        project=locked,
        number=locked.last_checkpoint_number,
        cycle=cycle,
        parent=parent,
        base=base,
        origin=origin,
        standing=standing,
        sha256=sha256,
        size_bytes=size_bytes,
        family=family,
        config=config,
        tensors=tensors,
        parameters=parameters,
        non_finite=non_finite,
        wake=wake,
        fisher_sha256=fisher_sha256,
        filename=filename,
        **(kept or KeptFiles.of(parent)).fields(),
        created_by=actor,
    )
    if standing == Standing.PROMOTED:
        locked.current = checkpoint
    locked.save(update_fields=["last_checkpoint_number", "current"])
    project.last_checkpoint_number, project.current = locked.last_checkpoint_number, locked.current
    audit.record(
        workspace=locked.workspace,
        actor=actor,
        verb="checkpoint_create",
        target=checkpoint,
        number=checkpoint.number,
        origin=origin,
        standing=standing,
        sha256=sha256,
    )
    return checkpoint


@transaction.atomic
def checkpoint_accept(*, upload: Upload, sha256: str, info: dict[str, Any], kept: KeptFiles) -> Checkpoint:
    """A verified upload becomes the project's next checkpoint and its current one.

    Args:
        sha256: of the stored copy.
        info: what `consolidation.formats.checkpoint.inspect_checkpoint` gave, with the size of the copy.
        kept: its format and companion files, in the store already.

    Raises:
        InvalidInput: the config is none of its family; `peft.base`: the base that the form names is none.
    """
    # The parent is whatever is current when the lock is held, not when the upload began.
    project = Project.objects.select_for_update().select_related("workspace").get(pk=upload.project_id)
    parent = Checkpoint.objects.filter(pk=project.current_id).first() if project.current_id else None
    base, config = None, dict(info["config"])
    if info["family"] == ADAPTER:
        named = str(upload.form.get("base") or "")
        base, config = base_on_arrival(
            project_id=project.pk, config=config, tensors=list(info["tensors"]), named=named
        )
    return checkpoint_create(
        project=project,
        cycle=None,
        parent=parent,
        origin=Origin.UPLOAD,
        standing=Standing.PROMOTED,
        sha256=sha256,
        size_bytes=int(info["size"]),
        family=str(info["family"]),
        config=config,
        tensors=list(info["tensors"]),
        parameters=int(info["parameters"]),
        non_finite=bool(info["non_finite"]),
        base=base,
        wake=dict(upload.form.get("wake") or {}),
        kept=kept,
        filename=upload.filename,
        actor=upload.user,
    )
