import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("cycles", "0009_read_sets"),
        ("memories", "0005_left_out"),
        ("projects", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Erasure",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "scope",
                    models.CharField(
                        choices=[
                            ("set", "This set, and every copy in the project"),
                            ("project", "All sets of the project"),
                            ("workspace", "All sets of the workspace"),
                        ],
                        max_length=9,
                    ),
                ),
                ("actor_name", models.CharField(max_length=255)),
                (
                    "by",
                    models.CharField(choices=[("ids", "Record ids"), ("subject", "Subject")], max_length=7),
                ),
                ("subject_digest", models.CharField(blank=True, max_length=64)),
                ("asked", models.PositiveIntegerField()),
                ("records", models.PositiveIntegerField()),
                ("digest", models.CharField(max_length=64)),
                ("shaped", models.JSONField(default=list)),
                ("unsearched", models.PositiveIntegerField(default=0)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "actor",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="erasures",
                        to="projects.project",
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="erasures",
                        to="accounts.workspace",
                    ),
                ),
            ],
            options={
                "ordering": ("-created_at",),
            },
        ),
        migrations.CreateModel(
            name="ErasedSet",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("rows", models.PositiveIntegerField()),
                ("sha256_before", models.CharField(max_length=64)),
                ("sha256_after", models.CharField(blank=True, max_length=64)),
                ("purged_at", models.DateTimeField(blank=True, null=True)),
                (
                    "erasure",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="sets",
                        to="memories.erasure",
                    ),
                ),
                (
                    "record_set",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="erased_from",
                        to="memories.recordset",
                    ),
                ),
            ],
            options={
                "ordering": ("id",),
            },
        ),
        migrations.CreateModel(
            name="Tombstone",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("record", models.BinaryField(max_length=16)),
                (
                    "erasure",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tombstones",
                        to="memories.erasure",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="projects.project",
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.workspace",
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="recordset",
            name="erasures",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="recordset",
            name="expires_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="recordset",
            name="next_expiry_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="recordset",
            name="retention_days",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddIndex(
            model_name="recordset",
            index=models.Index(
                condition=models.Q(("expires_at__isnull", False), ("purged_at__isnull", True)),
                fields=["expires_at"],
                name="record_set_expires",
            ),
        ),
        migrations.AddIndex(
            model_name="recordset",
            index=models.Index(
                condition=models.Q(("next_expiry_at__isnull", False), ("purged_at__isnull", True)),
                fields=["next_expiry_at"],
                name="record_set_next_expiry",
            ),
        ),
        migrations.AddIndex(
            model_name="erasure",
            index=models.Index(
                condition=models.Q(("subject_digest", ""), _negated=True),
                fields=["workspace"],
                name="erasure_subjects",
            ),
        ),
        migrations.AddConstraint(
            model_name="erasure",
            constraint=models.CheckConstraint(
                condition=models.Q(("by__in", ["ids", "subject"])), name="erasure_by_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="erasure",
            constraint=models.CheckConstraint(
                condition=models.Q(("scope__in", ["set", "project", "workspace"])), name="erasure_scope_known"
            ),
        ),
        migrations.AddIndex(
            model_name="erasedset",
            index=models.Index(
                condition=models.Q(("purged_at__isnull", True)),
                fields=["record_set"],
                name="erased_set_pending",
            ),
        ),
        migrations.AddConstraint(
            model_name="erasedset",
            constraint=models.UniqueConstraint(fields=("erasure", "record_set"), name="erased_set_once"),
        ),
        migrations.AddIndex(
            model_name="tombstone",
            index=models.Index(fields=["workspace", "project"], name="tombstones_of"),
        ),
    ]
