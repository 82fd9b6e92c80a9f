import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """What an adapter lies over; those that are here have not said."""

    dependencies = [
        ("checkpoints", "0007_old_version"),
    ]

    operations = [
        migrations.AddField(
            model_name="checkpoint",
            name="base",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.RESTRICT,
                related_name="adapters",
                to="checkpoints.checkpoint",
            ),
        ),
    ]
