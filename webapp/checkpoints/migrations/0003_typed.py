from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("checkpoints", "0002_links")]

    operations = [
        migrations.AddField("score", "typed", models.BooleanField(default=False)),
        migrations.AlterField("score", "examples", models.PositiveIntegerField(default=0)),
    ]
