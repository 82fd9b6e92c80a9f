from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("fleet", "0001_initial")]

    operations = [
        migrations.AddField("worker", "draining_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField(
            "worker", "problem_code", models.CharField(blank=True, db_default="", max_length=64)
        ),
        migrations.AddField("worker", "problem", models.TextField(blank=True, db_default="")),
        migrations.CreateModel(
            name="DeviceLease",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("key", models.CharField(max_length=160, unique=True)),
                ("holder", models.UUIDField()),
                ("host", models.CharField(max_length=120)),
                ("pid", models.PositiveIntegerField()),
                ("pid_started", models.FloatField()),
                ("expires_at", models.DateTimeField()),
            ],
        ),
    ]
