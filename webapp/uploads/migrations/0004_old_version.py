from django.db import migrations, models


class Migration(migrations.Migration):
    """While an update goes on, a web of the version before writes rows that lack these columns."""

    dependencies = [
        ("uploads", "0003_error_detail"),
    ]

    operations = [
        migrations.AlterField(
            model_name="upload",
            name="local",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AlterField(
            model_name="upload",
            name="told_sha256",
            field=models.CharField(blank=True, db_default="", default="", max_length=64),
        ),
    ]
