from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("uploads", "0001_initial")]

    operations = [
        migrations.AddField("upload", "received_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField(
            "upload",
            "told_sha256",
            models.CharField(blank=True, default="", max_length=64),
            preserve_default=False,
        ),
        migrations.AddField("upload", "local", models.BooleanField(default=False)),
        migrations.AddIndex(
            "upload",
            models.Index(
                condition=models.Q(("sha256", ""), _negated=True), fields=["sha256"], name="upload_by_sha256"
            ),
        ),
    ]
