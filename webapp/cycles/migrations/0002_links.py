import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("checkpoints", "0002_links"),
        ("cycles", "0001_initial"),
        ("fleet", "0001_initial"),
        ("memories", "0001_initial"),
        ("projects", "0001_initial"),
        ("schedules", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="cycle",
            name="data",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="cycles_as_data",
                to="memories.recordset",
            ),
        ),
        migrations.AddField(
            model_name="cycle",
            name="memories",
            field=models.ManyToManyField(
                blank=True, related_name="cycles_as_memories", to="memories.recordset"
            ),
        ),
        migrations.AddField(
            model_name="cycle",
            name="probes",
            field=models.ManyToManyField(
                blank=True, related_name="cycles_as_probes", to="memories.recordset"
            ),
        ),
        migrations.AddField(
            model_name="cycle",
            name="project",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="cycles", to="projects.project"
            ),
        ),
        migrations.AddField(
            model_name="cycle",
            name="reference",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="checkpoints.checkpoint",
            ),
        ),
        migrations.AddField(
            model_name="cycle",
            name="retry_of",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="retries",
                to="cycles.cycle",
            ),
        ),
        migrations.AddField(
            model_name="cycle",
            name="schedule",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="cycles",
                to="schedules.schedule",
            ),
        ),
        migrations.AddField(
            model_name="cycle",
            name="worker",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="cycles",
                to="fleet.worker",
            ),
        ),
        migrations.AddField(
            model_name="snapshot",
            name="cycle",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="snapshots", to="cycles.cycle"
            ),
        ),
        migrations.AddField(
            model_name="transition",
            name="actor",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="transition",
            name="cycle",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="transitions", to="cycles.cycle"
            ),
        ),
        migrations.AddIndex(
            model_name="cycle",
            index=models.Index(
                condition=models.Q(("state", "queued")), fields=["queued_at", "id"], name="cycle_queue"
            ),
        ),
        migrations.AddIndex(
            model_name="cycle",
            index=models.Index(
                condition=models.Q(
                    ("state__in", ["cancelling", "pausing", "publishing", "running", "starting"])
                ),
                fields=["lease_expires_at"],
                name="cycle_leases",
            ),
        ),
        migrations.AddIndex(
            model_name="cycle",
            index=models.Index(fields=["project", "-number"], name="cycle_by_project"),
        ),
        migrations.AddConstraint(
            model_name="cycle",
            constraint=models.UniqueConstraint(fields=("project", "number"), name="cycle_number_once"),
        ),
        migrations.AddConstraint(
            model_name="cycle",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    ("state__in", ["cancelling", "pausing", "publishing", "running", "starting"])
                ),
                fields=("project",),
                name="cycle_one_active",
            ),
        ),
        migrations.AddConstraint(
            model_name="cycle",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "state__in",
                        [
                            "scheduled",
                            "queued",
                            "blocked",
                            "starting",
                            "running",
                            "pausing",
                            "paused",
                            "cancelling",
                            "publishing",
                            "succeeded",
                            "rejected",
                            "cancelled",
                            "failed",
                            "quarantined",
                        ],
                    )
                ),
                name="cycle_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="cycle",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["wake", "score", "sleep"])), name="cycle_kind_known"
            ),
        ),
    ]
