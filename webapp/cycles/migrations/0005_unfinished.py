from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("cycles", "0004_compacted")]

    operations = [
        migrations.AddIndex(
            "cycle",
            models.Index(
                condition=models.Q(
                    (
                        "state__in",
                        [
                            "blocked", "cancelling", "paused", "pausing", "publishing", "queued", "running",
                            "scheduled", "starting",
                        ],
                    )
                ),
                fields=["project", "number"],
                name="cycle_unfinished",
            ),
        ),
    ]  # fmt: skip
