"""`manage.py store_adopt`: say that the folder at NOCTURNE_STORE is this installation's store."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from webapp.core.errors import NocturneError
from webapp.core.store_identity import store_adopt


class Command(BaseCommand):
    """For a store that was moved or restored without its hidden file."""

    help = (
        "Say that the folder at NOCTURNE_STORE is this installation's store, after it was moved or restored "
        "without its hidden file. Example: python manage.py store_adopt"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--force",
            action="store_true",
            help="also when the folder bears another installation's name or holds none of the stored files",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Mark the folder, or say why it does not look like the store."""
        try:
            missing = store_adopt(force=options["force"])
        except NocturneError as error:
            raise CommandError(f"{error.message} [{error.code}]") from None
        self.stdout.write("This folder is the store now.")
        if missing:
            self.stdout.write(f"{missing} of the files that were stored last are missing in it.")
