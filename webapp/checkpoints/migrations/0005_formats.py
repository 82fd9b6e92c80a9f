from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("checkpoints", "0004_alias")]

    operations = [
        migrations.AddField(
            "checkpoint",
            "format",
            models.CharField(
                choices=[
                    ("safetensors", "safetensors"),
                    ("pytorch", "PyTorch"),
                    ("gguf", "GGUF"),
                    ("huggingface", "Hugging Face folder"),
                    ("peft", "LoRA adapter (PEFT)"),
                ],
                default="safetensors",
                max_length=12,
            ),
        ),
        migrations.AddField("checkpoint", "crc32", models.BigIntegerField(blank=True, null=True)),
        migrations.AddField("checkpoint", "extras_sha256", models.CharField(blank=True, max_length=64)),
        migrations.AddField("checkpoint", "extras", models.JSONField(blank=True, default=list)),
        migrations.AddField("checkpoint", "notes", models.JSONField(blank=True, default=list)),
    ]
