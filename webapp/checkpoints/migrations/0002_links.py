import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("checkpoints", "0001_initial"),
        ("cycles", "0001_initial"),
        ("projects", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="checkpoint",
            name="cycle",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="result",
                to="cycles.cycle",
            ),
        ),
        migrations.AddField(
            model_name="checkpoint",
            name="parent",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="children",
                to="checkpoints.checkpoint",
            ),
        ),
        migrations.AddField(
            model_name="checkpoint",
            name="project",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="checkpoints", to="projects.project"
            ),
        ),
        migrations.AddField(
            model_name="score",
            name="checkpoint",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="scores",
                to="checkpoints.checkpoint",
            ),
        ),
        migrations.AddField(
            model_name="score",
            name="cycle",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="scores",
                to="cycles.cycle",
            ),
        ),
        migrations.AddField(
            model_name="score",
            name="task",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="scores", to="projects.task"
            ),
        ),
        migrations.AddConstraint(
            model_name="checkpoint",
            constraint=models.UniqueConstraint(fields=("project", "number"), name="checkpoint_number_once"),
        ),
        migrations.AddConstraint(
            model_name="checkpoint",
            constraint=models.CheckConstraint(
                condition=models.Q(("origin__in", ["upload", "wake", "sleep"])),
                name="checkpoint_origin_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="checkpoint",
            constraint=models.CheckConstraint(
                condition=models.Q(("standing__in", ["promoted", "candidate", "branch"])),
                name="checkpoint_standing_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="score",
            constraint=models.UniqueConstraint(fields=("checkpoint", "task"), name="score_once"),
        ),
    ]
