"""Which checkpoint an adapter lies over: found on arrival, or chosen, and kept while it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse
from django.utils import timezone

from consolidation.families.lora_spec import over
from consolidation.families.registry import computable, described_family
from tests.consolidation.formats.folders import LLAMA, LORA
from tests.webapp import rows
from tests.webapp.conftest import logged_in
from webapp.checkpoints import trash
from webapp.checkpoints.bases import base_on_arrival, checkpoint_base_set
from webapp.core.errors import NocturneError
from webapp.core.models import AuditEntry
from webapp.cycles.needs import cycle_needs
from webapp.cycles.services import cycle_start
from webapp.memories.selectors import project_fit
from webapp.projects.models import Project, Task
from webapp.uploads.declared import clean_form
from webapp.uploads.texts import project_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from webapp.accounts.models import User, Workspace
    from webapp.checkpoints.models import Checkpoint

FAMILY = described_family(LLAMA)
LORA_CONFIG = described_family(LORA).validate_config(LORA)
PAIR = "base_model.model.model.layers.{}.self_attn.q_proj.lora_{}.weight"


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(NocturneError) as error:
        call()
    return error.value.code


def llama(project: Project, **changes: int) -> Checkpoint:
    """The next version of the line, a language model."""
    made = rows.checkpoint(project)
    made.family, made.config = "causal_lm", FAMILY.validate_config(LLAMA | changes)
    made.save()
    return made


def tensors(width: int = 16, outputs: int = 16) -> list[dict[str, Any]]:
    return [
        {"name": PAIR.format(layer, half), "dtype": "F32", "shape": shape}
        for layer in range(2)
        for half, shape in (("A", [4, width]), ("B", [outputs, 4]))
    ]


def adapter(project: Project, **fields: Any) -> Checkpoint:
    """The next version, an adapter that nobody has laid over anything."""
    made = rows.checkpoint(project)
    made.family, made.config, made.tensors = "lora", LORA_CONFIG, tensors()
    for name, value in fields.items():
        setattr(made, name, value)
    made.save()
    return made


# ---------------------------------------------------------------- on arrival


def test_the_only_one_that_fits_is_taken(project: Project) -> None:
    rows.checkpoint(project)
    llama(project, hidden_size=32)
    fits = llama(project)
    base, config = base_on_arrival(project_id=project.pk, config=LORA_CONFIG, tensors=tensors(), named="")
    assert base == fits
    assert config["base"] == {"family": "causal_lm", "config": fits.config}
    assert computable("lora", config)


def test_of_two_the_form_may_name_one_and_else_nobody_guesses(project: Project) -> None:
    first, second, wide = llama(project), llama(project), llama(project, hidden_size=32)

    def found(named: str) -> Checkpoint | None:
        return base_on_arrival(project_id=project.pk, config=LORA_CONFIG, tensors=tensors(), named=named)[0]

    assert found("") is None
    assert found(str(first.pk)) == first
    assert found(str(second.pk)) == second
    assert code_of(lambda: found(str(wide.pk))) == "peft.base"


def test_the_form_names_a_checkpoint_of_the_project(project: Project, workspace: Workspace) -> None:
    mine = llama(project)
    other = llama(Project.objects.create(workspace=workspace, name="another"))

    def form(base: object) -> dict[str, Any]:
        return clean_form(project=project, purpose="checkpoint", form={"base": base})

    assert form(str(mine.pk))["base"] == str(mine.pk)
    assert "base" not in form("")
    for wrong in (str(other.pk), "v1", 7):
        assert code_of(lambda wrong=wrong: form(wrong)) == "peft.base"  # type: ignore[misc]


# ---------------------------------------------------------------- chosen by a person


def test_choosing_says_it_in_the_row_and_in_the_audit_log(bob: User, project: Project) -> None:
    fits, made = llama(project), adapter(project)
    checkpoint_base_set(actor=bob, checkpoint=made, base=fits)
    made.refresh_from_db()
    assert made.base == fits
    assert made.config["base"]["config"] == fits.config
    entry = AuditEntry.objects.get(verb="checkpoint_base_set")
    assert (entry.detail["number"], entry.detail["base"], entry.detail["before"]) == (2, 1, None)
    # until something rests on it, another one can be said
    again = llama(project)
    checkpoint_base_set(actor=bob, checkpoint=made, base=again)
    made.refresh_from_db()
    assert made.base == again


def test_what_does_not_fit_is_refused_with_what_it_changes(bob: User, project: Project) -> None:
    wide, made = llama(project, hidden_size=32), adapter(project)
    with pytest.raises(NocturneError, match=r"q_proj of 16 inputs and 16 outputs") as error:
        checkpoint_base_set(actor=bob, checkpoint=made, base=wide)
    assert error.value.code == "peft.base"
    assert code_of(lambda: checkpoint_base_set(actor=bob, checkpoint=wide, base=made)) == "peft.base"


def test_an_embedding_is_no_linear_layer(bob: User, project: Project) -> None:
    fits = llama(project)
    name = "base_model.model.model.embed_tokens.lora_embedding_{}"
    odd = [
        {"name": name.format(half), "dtype": "F32", "shape": shape}
        for half, shape in (("A", [4, 32]), ("B", [16, 4]))
    ]
    made = adapter(project, tensors=odd)
    with pytest.raises(NocturneError, match="no linear layer"):
        checkpoint_base_set(actor=bob, checkpoint=made, base=fits)


def test_who_may(alice: User, bob: User, charlie: User, project: Project, vera: User) -> None:
    fits, made = llama(project), adapter(project)
    assert code_of(lambda: checkpoint_base_set(actor=charlie, checkpoint=made, base=fits)) == "not_found"
    assert code_of(lambda: checkpoint_base_set(actor=vera, checkpoint=made, base=fits)) == "role.missing"
    page = reverse("checkpoint_base", args=[made.pk])
    assert logged_in(charlie).post(page, {"base": str(fits.pk)}).status_code == 404
    elsewhere = llama(Project.objects.create(workspace=project.workspace, name="another"))
    browser = logged_in(bob)
    for wrong in (str(elsewhere.pk), "v1", ""):
        assert browser.post(page, {"base": wrong}).status_code == 404
    address = f"/api/checkpoints/{made.pk}/base"
    said = browser.put(address, {"base": str(elsewhere.pk)}, content_type="application/json")
    assert said.status_code == 404
    said = browser.put(address, {"base": str(fits.pk)}, content_type="application/json")
    assert (said.status_code, said.json()["base"]) == (200, str(fits.pk))


def test_what_was_computed_over_a_base_keeps_it(bob: User, project: Project) -> None:
    first, second, made = llama(project), llama(project), adapter(project)
    checkpoint_base_set(actor=bob, checkpoint=made, base=first)
    task = Task.objects.get(project=project)
    made.scores.create(task=task, value=0.5, examples=10)
    with pytest.raises(NocturneError, match="v3 was scored, trained or put to sleep over v1") as error:
        checkpoint_base_set(actor=bob, checkpoint=made, base=second)
    assert error.value.code == "peft.base_used"


# ---------------------------------------------------------------- kept while it is needed


def test_a_base_stays_while_an_adapter_needs_it_in_the_trash_too(alice: User, project: Project) -> None:
    fits, made = llama(project), adapter(project)
    checkpoint_base_set(actor=alice, checkpoint=made, base=fits)
    llama(project)
    assert code_of(lambda: trash.checkpoint_trash(actor=alice, checkpoint=fits)) == "trash.base"
    trash.checkpoint_trash(actor=alice, checkpoint=made)
    assert code_of(lambda: trash.checkpoint_trash(actor=alice, checkpoint=fits)) == "trash.base"
    trash.checkpoint_delete(actor=alice, checkpoint=made)
    trash.checkpoint_trash(actor=alice, checkpoint=fits)
    waiting = adapter(project)
    assert code_of(lambda: checkpoint_base_set(actor=alice, checkpoint=waiting, base=fits)) == (
        "checkpoint.trashed"
    )


# ---------------------------------------------------------------- cycles


def test_a_reference_lies_over_the_same_base(bob: User, project: Project) -> None:
    first, second = llama(project), llama(project)
    before, after = adapter(project), adapter(project)
    checkpoint_base_set(actor=bob, checkpoint=before, base=first)
    checkpoint_base_set(actor=bob, checkpoint=after, base=second)
    before.refresh_from_db()
    after.refresh_from_db()
    assert before.config == after.config
    rows.record_set(Task.objects.get(project=project), "memories")
    rows.record_set(Task.objects.get(project=project), "probe")
    assert (
        code_of(
            lambda: cycle_start(
                actor=bob, project=project, kind="sleep", recipe={}, base=after, reference=before
            )
        )
        == "cycle.reference_shape"
    )


def test_its_needs_are_those_of_the_frozen_base_and_of_what_learns(bob: User, project: Project) -> None:
    base, made = llama(project, hidden_size=16), adapter(project, parameters=256)
    base.parameters = 10_000
    checkpoint_base_set(actor=bob, checkpoint=made, base=base)
    made.refresh_from_db()
    recipe = {"preset": "night", "optimizer": "adamw", "passes": 2, "batch": 8}
    sets = [rows.record_set(Task.objects.get(project=project), "memories")]
    over = cycle_needs(project=project, kind="sleep", recipe=recipe, base=made, memories=sets)
    whole = cycle_needs(project=project, kind="sleep", recipe=recipe, base=base, memories=sets)
    assert 0 < over.memory_bytes < whole.memory_bytes
    assert over.store_bytes < whole.store_bytes
    assert over.disk_bytes < whole.disk_bytes / 10


def test_a_wake_does_not_build_one_from_nothing(bob: User, project: Project) -> None:
    base = llama(project)
    data = rows.record_set(Task.objects.get(project=project), "training")
    told = {"family": base.family, "config": base.config}
    init = {"family": "lora", "config": {**LORA_CONFIG, "base": told}}
    start = {"actor": bob, "project": project, "kind": "wake", "recipe": {}, "data": data, "init": init}
    assert code_of(lambda: cycle_start(**start)) == "peft.base"  # type: ignore[arg-type]


# ---------------------------------------------------------------- its page


def test_its_page_says_what_it_lies_over_or_asks(bob: User, project: Project) -> None:
    made, browser = adapter(project), logged_in(bob)
    where = reverse("checkpoint_detail", args=[made.pk])
    page = browser.get(where).content.decode()
    assert "no checkpoint of this project has that" in page
    assert "peft.base" in page
    fits = llama(project)
    project.current = made
    project.save()
    assert "Choose its base" in browser.get(where).content.decode()
    night = reverse("cycle_create", args=[project.pk])
    assert "nobody has said which checkpoint it lies over" in browser.get(night).content.decode()
    said = browser.post(reverse("checkpoint_base", args=[made.pk]), {"base": str(fits.pk)}, follow=True)
    page = said.content.decode()
    assert "v1 lies over v2 now" in page
    assert "adapter over v2" in page
    assert "Score it now" in page
    assert "an adapter over v2" in browser.get(night).content.decode()


def test_what_was_current_when_it_came_is_offered_first(bob: User, project: Project) -> None:
    was = llama(project)
    made, _candidate = adapter(project), llama(project)
    page = logged_in(bob).get(reverse("checkpoint_detail", args=[made.pk])).content.decode()
    assert f'<option value="{was.pk}" selected>v1 · Uploaded' in page
    assert page.count(" selected>") == 1
    assert "Rank pattern" not in page  # it says nothing where it is empty


def test_records_are_read_for_the_model_before_it_until_it_lies_over_its_base(project: Project) -> None:
    base = llama(project)
    base.extras = [{"name": "tokenizer.json", "offset": 0, "size": 9}]
    base.save()
    made = adapter(project)
    project.refresh_from_db()
    assert project.current == made
    fit, words = project_fit(project), project_tokenizer(project)
    assert (fit.tokens, fit.objective, fit.because) == (True, "language", f"the checkpoint {base}")
    assert words is not None
    assert words["size"] == 9
    again = adapter(project)
    assert project_fit(project).because == f"the checkpoint {base}"
    base.trashed_at = timezone.now()
    base.save()
    project.refresh_from_db()
    assert project.current == again
    assert not project_fit(project).tokens
    wide = llama(project, hidden_size=32)
    made.base, made.config = wide, over(LORA_CONFIG, wide.family, wide.config)
    made.save()
    project.current = made
    assert project_fit(project).because == f"the current checkpoint {made}"


@pytest.mark.parametrize("has", [True, False])
def test_an_adapter_s_page_asks_for_no_tokenizer_that_its_base_has(
    alice: User, project: Project, has: bool
) -> None:
    base = llama(project)
    base.extras = [{"name": "tokenizer.json", "offset": 0, "size": 9}] if has else []
    base.save()
    config = {**LORA_CONFIG, "base": {"family": "causal_lm", "config": base.config}}
    made = adapter(project, base=base, config=config)
    text = logged_in(alice).get(reverse("checkpoint_detail", args=[made.pk])).content.decode()
    assert ("Attach the tokenizer" in text) is not has
