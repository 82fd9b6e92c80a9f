"""Models that read texts wake and sleep by their own usual numbers, unless somebody says others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.urls import reverse

from consolidation.families.registry import family_spec
from tests.consolidation.text_helpers import BERT
from tests.webapp import rows
from tests.webapp.conftest import logged_in
from webapp.cycles.services import cycle_start
from webapp.memories.models import RecordSet, Use
from webapp.projects.models import Task
from webapp.schedules.services import schedule_create

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.projects.models import Project


def read(project: Project, *, text: bool) -> dict[Use, RecordSet]:
    """A current checkpoint, and sets that fit it."""
    made = rows.checkpoint(project, "upload")
    if text:
        made.family, made.config = "encoder", family_spec("encoder").validate_config(BERT)
        made.save(update_fields=["family", "config"])
    task = Task.objects.create(project=project, name="task", position=9)
    sets = {use: rows.record_set(task, use) for use in (Use.TRAINING, Use.MEMORIES, Use.PROBE)}
    if text:
        RecordSet.objects.update(x_shape=[12], classes=3)
    return sets


def test_a_night_a_wake_and_a_schedule_of_texts(alice: User, project: Project) -> None:
    sets = read(project, text=True)
    night = cycle_start(actor=alice, project=project, kind="sleep", recipe={}, preset="nap")
    assert [night.recipe[name] for name in ("optimizer", "batch", "duration")] == ["adamw", 16, 0.05]
    other = cycle_start(actor=alice, project=project, kind="sleep", recipe={"optimizer": "sgd"})
    assert (other.recipe["optimizer"], other.recipe["clip"]) == ("sgd", 1.0)
    sets[Use.TRAINING].refresh_from_db()
    woke = cycle_start(actor=alice, project=project, kind="wake", recipe={}, data=sets[Use.TRAINING])
    assert (woke.recipe["optimizer"], woke.recipe["lr"]) == ("adamw", 1e-4)
    made = schedule_create(actor=alice, project=project, name="n", cron="0 3 * * *", timezone="UTC")
    assert made.recipe["optimizer"] == "adamw"
    page = logged_in(alice).get(reverse("wake_create", args=[project.pk])).content.decode()
    assert 'placeholder="0.0001"' in page


def test_all_others_keep_the_usual_ones(alice: User, project: Project) -> None:
    read(project, text=False)
    night = cycle_start(actor=alice, project=project, kind="sleep", recipe={}, preset="night")
    assert (night.recipe["optimizer"], night.recipe["batch"]) == ("sgd", 64)
