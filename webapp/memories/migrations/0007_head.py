from django.db import migrations, models


class Migration(migrations.Migration):
    """Which of the model's outputs are a task's own."""

    dependencies = [("memories", "0006_erasures")]

    operations = [
        migrations.AddField(
            model_name="recordset",
            name="head",
            field=models.JSONField(blank=True, db_default=models.Value([], models.JSONField()), default=list),
        ),
    ]
