from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("cycles", "0003_energy")]

    operations = [
        migrations.AddField("cycle", "compacted_at", models.DateTimeField(blank=True, null=True)),
    ]
