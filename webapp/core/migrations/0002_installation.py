import uuid
from typing import Any

from django.db import migrations, models


def name_the_store(apps: Any, schema_editor: Any) -> None:
    """The row is there before anything is stored, so that two processes never invent two names."""
    apps.get_model("core", "Installation").objects.get_or_create(pk=1)


class Migration(migrations.Migration):
    dependencies = [("core", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="Installation",
            fields=[
                (
                    "id",
                    models.SmallIntegerField(default=1, editable=False, primary_key=True, serialize=False),
                ),
                ("store_id", models.UUIDField(default=uuid.uuid4, editable=False)),
                ("store_marked_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("id", 1)), name="installation_one")
                ],
            },
        ),
        migrations.RunPython(name_the_store, migrations.RunPython.noop),
    ]
