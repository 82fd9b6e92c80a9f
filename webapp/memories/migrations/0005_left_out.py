from django.db import migrations, models


class Migration(migrations.Migration):
    """How many records of a set repeat others, which bad rows were left out, and what a budget kept."""

    dependencies = [("memories", "0004_label_names")]

    operations = [
        migrations.AddField(
            model_name="recordset",
            name="duplicates",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="recordset",
            name="left_out",
            field=models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict),
        ),
        migrations.AddField(
            model_name="recordset",
            name="kept",
            field=models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict),
        ),
    ]
