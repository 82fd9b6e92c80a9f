from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("cycles", "0002_links")]

    operations = [
        migrations.AddField(
            model_name="cycle",
            name="energy_wh",
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="cycle",
            name="energy_source",
            field=models.CharField(blank=True, default="", max_length=9),
            preserve_default=False,
        ),
    ]
