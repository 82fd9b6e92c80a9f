from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("cycles", "0007_room")]

    operations = [
        migrations.AddField("cycle", "pause_at", models.DateTimeField(blank=True, null=True)),
    ]
