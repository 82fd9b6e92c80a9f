"""A queue with a past, made by the database itself: ten thousand rows are there in a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.db import models

# What an ended cycle leaves in each of the tables that a claim also writes.
STEPS = 4


def fill(*, projects: int, queued: int, active: int = 0, finished: int = 0) -> None:
    """Cycles on `projects` projects in turn, the oldest first.

    Args:
        projects: how many; they are all in one workspace.
        queued: cycles that wait, a millisecond apart.
        active: projects, from the first on, on which one more cycle runs.
        finished: cycles that succeeded, each with its transitions, state frames and audit entries.
    """
    from django.db import connection

    from tests.support import night
    from tests.support.rows_free import free_states
    from webapp.accounts.models import Workspace
    from webapp.core.models import AuditEntry
    from webapp.cycles.models import Cycle, Transition
    from webapp.cycles.transitions import transition_record
    from webapp.live.models import Frame
    from webapp.projects.models import Project

    workspace = Workspace.objects.create(name="Bench", quota_bytes=10**9)
    project = Project.objects.create(workspace=workspace, name="one of many")
    with free_states():
        cycle = night.sleep_cycle(project)
        transition_record(cycle.pk, old="")
        copies(Project, project.pk, projects, id=_uuid("project", "i"))
        of = {"project_id": _uuid("project", f"mod(i, {projects})")}
        copies(
            Cycle, cycle.pk, queued, **of, id=_uuid("queued", "i"), number=f"{10**6} + i / {projects}",
            seq="0", queued_at="now() - interval '1 day' + i * interval '1 ms'",
        )  # fmt: skip
        copies(
            Cycle, cycle.pk, active, **of, id=_uuid("active", "i"), number=f"{2 * 10**6}", state="'running'",
            epoch="1", attempt="1", seq="0", lease_expires_at="now() + interval '1 day'", started_at="now()",
        )  # fmt: skip
        copies(
            Cycle, cycle.pk, finished, **of, id=_uuid("finished", "i"), number=f"1 + i / {projects}",
            state="'succeeded'", verdict="'improved'", epoch="1", attempt="1", seq=str(STEPS),
            queued_at="now() - interval '9 days' + i * interval '1 s'",
            started_at="now() - interval '8 days' + i * interval '1 s'",
            finished_at="now() - interval '8 days' + i * interval '2 s'",
        )  # fmt: skip
        past = {"cycle_id": _uuid("finished", f"i / {STEPS}")}
        copies(Transition, Transition.objects.get(cycle=cycle).pk, finished * STEPS, **past)
        copies(
            Frame, Frame.objects.get(cycle=cycle).pk, finished * STEPS, **past, seq=f"1 + mod(i, {STEPS})"
        )  # fmt: skip
        entry = AuditEntry.objects.get(object_id=cycle.pk)
        copies(AuditEntry, entry.pk, finished * STEPS, object_id=past["cycle_id"])
        Transition.objects.filter(cycle=cycle).delete()
        Frame.objects.filter(cycle=cycle).delete()
        Cycle.objects.filter(pk=cycle.pk).delete()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def copies(model: type[models.Model], pk: Any, count: int, **changed: str) -> None:
    """`count` copies of one row; `changed`: SQL of the columns that differ, with `i` counting from 0.

    A copy has all columns, also those that the model will only get tomorrow.
    """
    from django.db import connection

    columns = [
        str(field.column) for field in model._meta.concrete_fields
        if field.column in changed or not field.primary_key
    ]  # fmt: skip
    values = [changed.get(column, f't."{column}"') for column in columns]
    names = ", ".join(f'"{column}"' for column in columns)
    table, key = model._meta.db_table, model._meta.pk.column
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{table}" ({names}) SELECT {", ".join(values)} '  # noqa: S608 - our own words only
            f'FROM "{table}" t, generate_series(0, %s - 1) AS i WHERE t."{key}" = %s',
            [count, pk],
        )


def _uuid(kind: str, number: str) -> str:
    return f"md5('{kind}-' || ({number}))::uuid"
