from django.db import migrations, models


class Migration(migrations.Migration):
    """What the labels of a set are called; a label may name a place, of which there are more than classes."""

    dependencies = [("memories", "0003_notes")]

    operations = [
        migrations.AddField(
            model_name="recordset",
            name="label_names",
            field=models.JSONField(blank=True, db_default=models.Value([], models.JSONField()), default=list),
        ),
        migrations.AlterField(
            model_name="recordset",
            name="classes",
            field=models.PositiveBigIntegerField(),
        ),
    ]
