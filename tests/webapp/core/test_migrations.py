"""Migrations only add (docs/scaling.md): what the version before writes is taken during an update."""

from __future__ import annotations

from django.db import models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import AddField
from django.db.models.fields import NOT_PROVIDED

# Older than the promise; every installation has them.
BEFORE = {("checkpoints", "0003_typed"), ("cycles", "0003_energy"), ("live", "0002_rollups")}


def test_a_column_that_was_added_is_filled_by_the_database_for_who_does_not_know_it() -> None:
    loader = MigrationLoader(None)
    state, seen, missing = loader.project_state(), 0, []
    for (app, name), migration in loader.disk_migrations.items():
        # Links between the first tables of the apps come in their second migration.
        if (
            (app, name) in BEFORE
            or name == "0002_links"
            or not type(migration).__module__.startswith("webapp")
        ):
            continue
        for added in (one for one in migration.operations if isinstance(one, AddField)):
            field = state.models[app, added.model_name.lower()].fields.get(added.name)
            if field is None or isinstance(field, models.ManyToManyField):
                continue
            seen += 1
            if not field.null and field.db_default is NOT_PROVIDED:
                missing.append(f"{app}.{added.model_name}.{added.name}")
    assert seen > 10
    assert missing == []
