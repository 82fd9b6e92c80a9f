import uuid

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("cycles", "0001_initial"),
        ("projects", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="RecordSet",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "use",
                    models.CharField(
                        choices=[("memories", "Memories"), ("probe", "Probe"), ("training", "Training set")],
                        max_length=8,
                    ),
                ),
                ("filename", models.CharField(blank=True, max_length=255)),
                ("sha256", models.CharField(max_length=64)),
                ("size_bytes", models.BigIntegerField()),
                ("rows", models.PositiveIntegerField()),
                ("x_shape", models.JSONField(default=list)),
                ("x_dtype", models.CharField(max_length=16)),
                ("classes", models.PositiveIntegerField()),
                ("label_histogram", models.JSONField(default=list)),
                ("transform", models.JSONField(default=dict)),
                ("has_logits", models.BooleanField(default=False)),
                ("replaced_at", models.DateTimeField(blank=True, null=True)),
                (
                    "cycle",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="record_sets_made",
                        to="cycles.cycle",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="record_sets",
                        to="projects.project",
                    ),
                ),
                (
                    "task",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="record_sets",
                        to="projects.task",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("replaced_at__isnull", True)),
                        fields=("task", "use"),
                        name="record_set_one_live",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("use__in", ["memories", "probe", "training"])),
                        name="record_set_use_known",
                    ),
                ],
            },
        ),
    ]
