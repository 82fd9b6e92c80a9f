from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("schedules", "0002_deleted")]

    operations = [
        migrations.AddField("schedule", "until", models.TimeField(blank=True, null=True)),
        migrations.AlterField(
            "schedulefire",
            "outcome",
            models.CharField(
                choices=[
                    ("started", "Started"),
                    ("resumed", "Resumed"),
                    ("skipped", "Skipped"),
                    ("missed", "Missed"),
                ],
                max_length=7,
            ),
        ),
    ]
