from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("cycles", "0008_windows"),
    ]

    operations = [
        migrations.AddField(
            model_name="cycle",
            name="read_sets",
            field=models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict),
        ),
    ]
