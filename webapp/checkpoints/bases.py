"""What a LoRA adapter lies over: a checkpoint of its project, found on arrival or chosen by a person."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.utils.translation import gettext as _

from consolidation.errors import NocturneInputError
from consolidation.families.lora_pairs import misfit
from consolidation.families.lora_spec import BASES, over
from consolidation.families.registry import computable
from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.checkpoints.models import Checkpoint
from webapp.checkpoints.trash import ensure_live
from webapp.core import audit
from webapp.core.errors import Conflict, InvalidInput
from webapp.cycles.choices import UNFINISHED
from webapp.cycles.models import Cycle
from webapp.projects.models import Project

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from webapp.accounts.models import User

ADAPTER: Final = "lora"
# So many versions are looked at, the newest first.
MOST_LOOKED_AT: Final = 1000


def bases_for(project_id: UUID, tensors: Iterable[Mapping[str, Any]]) -> tuple[list[Checkpoint], str]:
    """The checkpoints of the project that an adapter of these tensors fits, newest first; and, where there is
    none, the sentence that says why. One query."""
    shapes = {str(one["name"]): tuple(one["shape"]) for one in tensors}
    rows = Checkpoint.objects.filter(project=project_id, family__in=list(BASES), non_finite=False)
    fields = ("project", "number", "family", "config", "filename", "trashed_at", "origin", "standing")
    found, missing, known = [], "", {}
    for row in rows.only(*fields).order_by("-number")[:MOST_LOOKED_AT]:
        if not computable(row.family, row.config):
            continue
        kind = json.dumps([row.family, row.config], sort_keys=True)
        try:
            if kind not in known:
                known[kind] = misfit(shapes, BASES[row.family].adaptable(row.config))
        except NocturneInputError as error:
            return [], error.message
        missing = missing or known[kind]
        if not known[kind]:
            found.append(row)
    return found, "" if found else _none(shapes, missing)


def _none(shapes: Mapping[str, tuple[int, ...]], missing: str) -> str:
    """`missing`: what it changes that the newest checkpoint of a fitting family has not."""
    try:
        what = missing or misfit(shapes, {})
    except NocturneInputError as error:
        return error.message
    words = _(
        "This adapter changes %(what)s; no checkpoint of this project has that, so it waits for its base. "
        "Upload the model that it was trained on."
    )
    return words % {"what": what}


def base_on_arrival(
    *, project_id: UUID, config: dict[str, Any], tensors: Sequence[Mapping[str, Any]], named: str
) -> tuple[Checkpoint | None, dict[str, Any]]:
    """The base of an adapter that has just come, when the form names one or only one fits; and its config,
    which then tells of the base.

    Args:
        named: the id of a checkpoint, "" when nobody said.

    Raises:
        InvalidInput: `peft.base`: the one that is named does not fit.
    """
    fitting, why = bases_for(project_id, tensors)
    if named:
        chosen = next((row for row in fitting if str(row.pk) == named), None)
        if chosen is None:
            raise InvalidInput("peft.base", why or _does_not_fit())
    else:
        chosen = fitting[0] if len(fitting) == 1 else None
    return chosen, over(config, chosen.family, chosen.config) if chosen else config


@transaction.atomic
def checkpoint_base_set(*, actor: User, checkpoint: Checkpoint, base: Checkpoint) -> Checkpoint:
    """Say which checkpoint an adapter was trained on. Until something was computed with it, another can be
    said.

    Raises:
        NotFound, Forbidden: the person may not (editor is needed).
        InvalidInput: `peft.base`: it is no adapter, or changes what the base has not.
        Conflict: `checkpoint.trashed`; `peft.base_used`: scores, versions or cycles rest on the base it has.
    """
    require_role(actor, checkpoint.project.workspace, Role.EDITOR)
    # Whatever begins to need a checkpoint locks the project first.
    Project.objects.select_for_update().get(pk=checkpoint.project_id)
    ensure_live([checkpoint, base])
    locked = Checkpoint.objects.select_for_update(of=("self",)).select_related("base").get(pk=checkpoint.pk)
    if locked.family != ADAPTER:
        raise InvalidInput(
            "peft.base", _("%(version)s is a whole model and needs no base.") % {"version": locked}
        )
    if locked.base_id == base.pk:
        return locked
    if locked.base_id is not None:
        _ensure_unused(locked)
    fitting, why = bases_for(checkpoint.project_id, locked.tensors)
    if base.pk not in {row.pk for row in fitting}:
        raise InvalidInput("peft.base", why or _does_not_fit())
    before = locked.base
    locked.base, locked.config = base, over(locked.config, base.family, base.config)
    locked.save(update_fields=["base", "config"])
    audit.record(
        workspace=checkpoint.project.workspace,
        actor=actor,
        verb="checkpoint_base_set",
        target=locked,
        number=locked.number,
        base=base.number,
        before=before.number if before else None,
    )
    return locked


def base_used(checkpoint: Checkpoint) -> bool:
    """Whether something was computed with an adapter over the base that it has. At most three queries."""
    cycles = Cycle.objects.filter(project=checkpoint.project_id)
    mine = cycles.filter(base=checkpoint) | cycles.filter(reference=checkpoint)
    return (
        checkpoint.cycle_id is not None
        or checkpoint.scores.filter(typed=False).exists()
        or Checkpoint.everything.filter(parent=checkpoint, cycle__isnull=False).exists()
        or mine.filter(state__in=UNFINISHED).exists()
    )


def _ensure_unused(checkpoint: Checkpoint) -> None:
    if base_used(checkpoint):
        raise Conflict(
            "peft.base_used",
            _("%(version)s was scored, trained or put to sleep over %(base)s, so its base stays. Upload the "
              "adapter once more to lay it over another.")
            % {"version": checkpoint, "base": checkpoint.base},
        )  # fmt: skip


def _does_not_fit() -> str:
    return _(
        "The adapter changes layers that this checkpoint has not, or of other widths. Choose the checkpoint "
        "that it was trained on."
    )
