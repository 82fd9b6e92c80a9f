from __future__ import annotations

import uuid

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
        migrations.CreateModel(
            name="DownloadLink",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("session_key", models.CharField(max_length=40)),
                ("what", models.CharField(max_length=8)),
                ("etag", models.CharField(max_length=80)),
                ("expires_at", models.DateTimeField()),
                (
                    "checkpoint",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="checkpoints.checkpoint",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["user", "expires_at"], name="download_link_by_user")],
            },
        ),
    ]
