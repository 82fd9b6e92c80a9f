from django.db import migrations, models


class Migration(migrations.Migration):
    """What looks skewed in a set of records, and which rights its records carry."""

    dependencies = [("memories", "0002_trash")]

    operations = [
        migrations.AddField(
            model_name="recordset",
            name="notes",
            field=models.JSONField(blank=True, db_default=models.Value([], models.JSONField()), default=list),
        ),
        migrations.AddField(
            model_name="recordset",
            name="rights",
            field=models.JSONField(blank=True, db_default=models.Value([], models.JSONField()), default=list),
        ),
    ]
