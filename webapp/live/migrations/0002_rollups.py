import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("cycles", "0004_compacted"),
        ("live", "0001_initial"),
    ]

    operations = [
        migrations.AddField("frame", "points", models.TextField(blank=True, null=True)),
        migrations.AddField("frame", "device", models.TextField(blank=True, null=True)),
        migrations.AddField("frame", "telling", models.BooleanField(default=True)),
        migrations.AddIndex(
            "frame",
            models.Index(
                condition=models.Q(("telling", True)), fields=["cycle", "seq"], name="frame_telling"
            ),
        ),
        migrations.CreateModel(
            name="Rollup",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("epoch", models.PositiveIntegerField()),
                ("series", models.CharField(max_length=6)),
                ("level", models.PositiveSmallIntegerField()),
                ("first_key", models.BigIntegerField()),
                ("last_key", models.BigIntegerField()),
                ("after_seq", models.BigIntegerField()),
                ("count", models.BigIntegerField()),
                ("rows", models.BinaryField()),
                (
                    "cycle",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="rollups",
                        to="cycles.cycle",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            "rollup",
            models.UniqueConstraint(
                fields=("cycle", "series", "epoch", "level", "first_key"), name="rollup_once"
            ),
        ),
    ]
