from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("cycles", "0006_survival")]

    operations = [
        migrations.AddField("cycle", "store_bytes", models.BigIntegerField(db_default=0, default=0)),
        migrations.AddField(
            "cycle",
            "used_sets",
            models.JSONField(blank=True, db_default=models.Value([], models.JSONField()), default=list),
        ),
    ]
