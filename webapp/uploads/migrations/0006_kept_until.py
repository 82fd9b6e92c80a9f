from django.db import migrations, models


class Migration(migrations.Migration):
    """How long the bytes of a file with bad rows stay, so that somebody may take in the others."""

    dependencies = [("uploads", "0005_tokenizer")]

    operations = [
        migrations.AddField(
            model_name="upload", name="kept_until", field=models.DateTimeField(blank=True, null=True)
        ),
    ]
