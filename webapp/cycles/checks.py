"""Whether a cycle can run at all, asked before it is queued: each no is a sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings

from consolidation.errors import NocturneInputError
from consolidation.families.registry import (
    FamilySpec,
    ensure_computable,
    family_objective,
    family_spec,
    reader,
    takes_width,
    vocabulary,
)
from consolidation.families.text_model import label_count, text_model
from consolidation.recipe import check_labels, habits, recipe_from_json
from webapp.checkpoints.bases import ADAPTER
from webapp.checkpoints.choices import Origin
from webapp.checkpoints.trash import ensure_live
from webapp.core.errors import Conflict, InvalidInput, cut
from webapp.cycles.choices import Kind, State
from webapp.cycles.models import Cycle
from webapp.memories.models import Use
from webapp.memories.trash import ensure_sets_live

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from webapp.checkpoints.models import Checkpoint
    from webapp.memories.models import RecordSet
    from webapp.projects.models import Project


def clean_recipe(
    kind: str, recipe: Mapping[str, Any], preset: str, *, text: bool = False
) -> tuple[dict[str, Any], str]:
    """The whole recipe as JSON, and its preset's name; the engine's own sentence says what is wrong.

    Args:
        text: whether the model's records are tokens, see `recipe.habits`.
    """
    if kind == Kind.SCORE:
        if recipe:
            raise InvalidInput("cycle.param_unknown", "Scoring has no recipe; leave it empty.")
        return {}, ""
    given = {"snapshot_every_s": settings.SNAPSHOT_SECONDS, **habits(kind, text=text), **recipe}
    if kind == Kind.SLEEP and preset:
        given.setdefault("preset", preset)
    try:
        frozen = recipe_from_json(given, kind).to_json()
    except NocturneInputError as error:
        raise InvalidInput(error.code, error.message, **error.detail) from None
    return frozen, str(frozen.get("preset", ""))


def reads_texts(checkpoint: Checkpoint | None) -> bool:
    """Whether its records are tokens."""
    return checkpoint is not None and text_model(checkpoint.family, checkpoint.config) is not None


@dataclass
class Plan:
    """What a cycle is about to depend on. `check` fills the defaults in and refuses what cannot work."""

    project: Project
    kind: str
    base: Checkpoint | None
    reference: Checkpoint | None
    data: RecordSet | None
    init: Mapping[str, Any] | None
    memories: Sequence[RecordSet]
    probes: Sequence[RecordSet]

    def check(self) -> None:
        """Raises InvalidInput or Conflict; afterwards base, reference and init are what will be stored."""
        if self.kind == Kind.WAKE:
            self._check_wake()
        else:
            self._check_base()
        if self.kind == Kind.SCORE and self.data is not None:
            self._check_answered(self.data)
        self._check_family()
        if self.kind == Kind.SLEEP and not self.memories:
            raise InvalidInput(
                "cycle.no_memories",
                "This project has no memories yet, and sleep replays memories. "
                "Upload some for each task first.",
            )
        if not self.probes and self.kind != Kind.WAKE and self.data is None:
            raise InvalidInput(
                "cycle.no_probes",
                "This project has no probes yet, so nothing could prove what the night did. "
                "Upload a held-out probe for each task first.",
            )
        self._check_checkpoints()
        self._check_fit()

    def check_recipe(self, recipe: Mapping[str, Any]) -> None:
        """Whether such a model can sleep by it. Raises InvalidInput."""
        model = self._model()
        if self.kind != Kind.SLEEP or model is None:
            return
        try:
            check_labels(recipe["fisher_labels"], family_objective(*reader(model[0].name, model[1])))
        except NocturneInputError as error:
            raise InvalidInput(error.code, error.message, **error.detail) from None

    def _check_wake(self) -> None:
        if self.data is None or self.data.project_id != self.project.pk or self.data.use != Use.TRAINING:
            raise InvalidInput(
                "cycle.no_data",
                "A wake learns one training set of this project; choose one, or upload it first.",
            )
        ensure_sets_live([self.data.pk])
        if self.init is not None:
            try:
                spec = family_spec(self.init.get("family"))
                config = spec.validate_config(self.init.get("config") or {})
            except NocturneInputError as error:
                raise InvalidInput(error.code, error.message, **error.detail) from None
            if spec.name == ADAPTER:
                raise InvalidInput(
                    "peft.base",
                    "A LoRA adapter is not built here: it lies over a base. Upload one that PEFT has made.",
                )
            seed = self.init.get("seed", 0)
            if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
                raise InvalidInput(
                    "cycle.param_range", f"seed is {cut(seed)}; allowed: whole numbers 0 to 2147483647."
                )
            self.init = {"family": spec.name, "config": config, "seed": seed}
        elif self.base is None and self.project.current is None and not self._wake_before():
            raise InvalidInput(
                "cycle.no_checkpoint",
                "This project has no checkpoint to begin from. Upload one, or say which model to build.",
            )

    def _check_answered(self, data: RecordSet) -> None:
        """The memories whose answers are to be stored."""
        if data.project_id != self.project.pk or data.use != Use.MEMORIES:
            raise InvalidInput(
                "cycle.no_data", "Answers are stored beside memories of this project; choose a set of those."
            )
        ensure_sets_live([data.pk])
        if data.replaced_at is not None:
            raise Conflict(
                "cycle.input_missing",
                "These memories were replaced by newer ones, so nothing would use their answers. Choose the "
                "newer set.",
            )

    def _check_family(self) -> None:
        model = self._model()
        if model is None:
            return
        try:
            ensure_computable(model[0].name, model[1])
        except NocturneInputError as error:
            raise InvalidInput("cycle.family_not_yet", error.message) from None

    def _wake_before(self) -> bool:
        waiting = Cycle.objects.filter(project=self.project, kind=Kind.WAKE).exclude(
            state__in=(State.FAILED, State.CANCELLED, State.QUARANTINED)
        )
        return waiting.exists()

    def _check_base(self) -> None:
        self.base = self.base or self.project.current
        if self.base is None:
            raise InvalidInput("cycle.no_checkpoint", "This project has no checkpoint yet. Upload one first.")
        if self.kind == Kind.SLEEP and self.reference is None:
            self.reference = self._before_waking(self.base)

    def _before_waking(self, base: Checkpoint) -> Checkpoint | None:
        """The parent, unless it is another architecture or the base slept already: nothing woke since."""
        parent = base.parent
        if parent is None or base.origin == Origin.SLEEP or parent.non_finite or parent.trashed_at:
            return None
        return parent if _kind(parent) == _kind(base) else None

    def _check_checkpoints(self) -> None:
        ensure_live([self.base, self.reference, self.base.base if self.base else None])
        for checkpoint in (self.base, self.reference):
            if checkpoint is None:
                continue
            if checkpoint.project_id != self.project.pk:
                raise InvalidInput(
                    "cycle.wrong_project", "This checkpoint belongs to another project. Choose one of this."
                )
            if checkpoint.non_finite:
                raise Conflict(
                    "weights.non_finite",
                    f"Checkpoint {checkpoint} holds NaN or infinite weights, so nothing can be computed with "
                    "it. Choose another, or upload the model again.",
                )
        if self.base and self.reference and _kind(self.base) != _kind(self.reference):
            raise InvalidInput(
                "cycle.reference_shape",
                f"Checkpoints {self.base} and {self.reference} are different architectures and cannot be "
                "merged. Choose a reference of the same shape, or none.",
            )

    def _model(self) -> tuple[FamilySpec, Mapping[str, Any]] | None:
        known = self.base or self.project.current
        if known is not None:
            return family_spec(known.family), known.config
        return (family_spec(self.init["family"]), self.init["config"]) if self.init else None

    def _check_fit(self) -> None:
        model = self._model()
        if model is None:
            return
        spec, config = model
        width, outputs = spec.input_width(config), label_count(spec.name, config)
        most = "up to " if vocabulary(spec.name, config) is not None else ""
        for item in [*self.memories, *self.probes, *([self.data] if self.data else [])]:
            has = math.prod(item.x_shape)
            name = f"{item.get_use_display()} of “{cut(item.task.name)}”"
            if not takes_width(spec.name, config, has):
                raise InvalidInput(
                    "records.width",
                    f"{name}: a record has {has} numbers, and the model takes {most}{width}. "
                    "Upload records that fit this model.",
                )
            if item.classes > outputs:
                raise InvalidInput(
                    "records.label_range",
                    f"{name}: labels go up to {item.classes - 1}, and the model has {outputs} outputs. "
                    "Upload records whose labels fit this model.",
                )


def _kind(checkpoint: Checkpoint) -> tuple[str, Mapping[str, Any], UUID | None]:
    """What two checkpoints must share to be merged; adapters lie over one base."""
    return checkpoint.family, checkpoint.config, checkpoint.base_id
