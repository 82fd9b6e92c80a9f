from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("schedules", "0001_initial")]

    operations = [
        migrations.AddField("schedule", "deleted_at", models.DateTimeField(blank=True, null=True)),
    ]
