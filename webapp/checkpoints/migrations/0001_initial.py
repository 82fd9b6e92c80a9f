import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Score",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("value", models.FloatField()),
                ("examples", models.PositiveIntegerField()),
                ("correct", models.BinaryField(default=b"")),
            ],
        ),
        migrations.CreateModel(
            name="Checkpoint",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("number", models.PositiveIntegerField()),
                (
                    "origin",
                    models.CharField(
                        choices=[("upload", "Uploaded"), ("wake", "Wake"), ("sleep", "Sleep")], max_length=8
                    ),
                ),
                (
                    "standing",
                    models.CharField(
                        choices=[("promoted", "Promoted"), ("candidate", "Candidate"), ("branch", "Branch")],
                        default="promoted",
                        max_length=10,
                    ),
                ),
                ("filename", models.CharField(blank=True, max_length=255)),
                ("sha256", models.CharField(max_length=64)),
                ("size_bytes", models.BigIntegerField()),
                ("fisher_sha256", models.CharField(blank=True, max_length=64)),
                ("family", models.CharField(max_length=40)),
                ("config", models.JSONField(default=dict)),
                ("tensors", models.JSONField(default=list)),
                ("parameters", models.BigIntegerField()),
                ("non_finite", models.BooleanField(default=False)),
                ("wake", models.JSONField(default=dict)),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("number",),
            },
        ),
    ]
