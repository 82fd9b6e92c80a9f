from django.db import migrations, models


class Migration(migrations.Migration):
    """A tokenizer may come after its checkpoint."""

    dependencies = [("uploads", "0004_old_version")]

    operations = [
        migrations.AlterField(
            model_name="upload",
            name="purpose",
            field=models.CharField(
                choices=[
                    ("checkpoint", "Checkpoint"),
                    ("memories", "Memories"),
                    ("probe", "Probe"),
                    ("training", "Training set"),
                    ("tokenizer", "Tokenizer"),
                ],
                max_length=10,
            ),
        ),
    ]
