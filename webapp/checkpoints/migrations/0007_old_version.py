from django.db import migrations, models


class Migration(migrations.Migration):
    """While an update goes on, a web of the version before writes rows that lack these columns."""

    dependencies = [
        ("checkpoints", "0006_trash"),
    ]

    operations = [
        migrations.AlterField(
            model_name="checkpoint",
            name="extras",
            field=models.JSONField(blank=True, db_default=models.Value([], models.JSONField()), default=list),
        ),
        migrations.AlterField(
            model_name="checkpoint",
            name="extras_sha256",
            field=models.CharField(blank=True, db_default="", default="", max_length=64),
        ),
        migrations.AlterField(
            model_name="checkpoint",
            name="format",
            field=models.CharField(
                choices=[
                    ("safetensors", "safetensors"),
                    ("pytorch", "PyTorch"),
                    ("gguf", "GGUF"),
                    ("huggingface", "Hugging Face folder"),
                    ("peft", "LoRA adapter (PEFT)"),
                ],
                db_default="safetensors",
                default="safetensors",
                max_length=12,
            ),
        ),
        migrations.AlterField(
            model_name="checkpoint",
            name="notes",
            field=models.JSONField(blank=True, db_default=models.Value([], models.JSONField()), default=list),
        ),
    ]
