from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("memories", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField("recordset", "trashed_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField(
            "recordset",
            "trashed_by",
            models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField("recordset", "purged_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddIndex(
            "recordset",
            models.Index(
                condition=models.Q(("purged_at__isnull", True), ("trashed_at__isnull", False)),
                fields=["trashed_at"],
                name="record_set_in_trash",
            ),
        ),
        migrations.RemoveConstraint("recordset", "record_set_one_live"),
        migrations.AddConstraint(
            "recordset",
            models.UniqueConstraint(
                condition=models.Q(("replaced_at__isnull", True), ("trashed_at__isnull", True)),
                fields=("task", "use"),
                name="record_set_one_live",
            ),
        ),
    ]
