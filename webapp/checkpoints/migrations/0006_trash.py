from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("checkpoints", "0005_formats"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField("checkpoint", "trashed_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField(
            "checkpoint",
            "trashed_by",
            models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField("checkpoint", "purged_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddIndex(
            "checkpoint",
            models.Index(
                condition=models.Q(("purged_at__isnull", True), ("trashed_at__isnull", False)),
                fields=["trashed_at"],
                name="checkpoint_in_trash",
            ),
        ),
    ]
