"""`manage.py store_adopt`: say that the folder at NOCTURNE_STORE is this installation's store."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from webapp.core.errors import NocturneError
from webapp.core.places import LOCAL, places
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

        parser.add_argument(
            "--place", default=LOCAL, help="a name of NOCTURNE_STORES, when that place was added or restored"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Mark the folder, or say why it does not look like the store."""
        known = sorted(place.name for place in places())
        if options["place"] not in known:
            raise CommandError(f"The store has no such place. Its places are: {', '.join(known)}.")
        try:
            missing = store_adopt(force=options["force"], name=options["place"])
        except NocturneError as error:
            raise CommandError(f"{error.message} [{error.code}]") from None
        self.stdout.write("This folder is the store now.")
        if missing:
            self.stdout.write(f"{missing} of the files that were stored last are missing in it.")
