from django.db import migrations, models


class Migration(migrations.Migration):
    """The first bad lines of a refused file of records."""

    dependencies = [("uploads", "0002_resumable")]

    operations = [
        migrations.AddField(
            model_name="upload",
            name="error_detail",
            field=models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict),
        ),
    ]
