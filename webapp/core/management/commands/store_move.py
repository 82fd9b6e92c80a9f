"""`manage.py store_move shared`: bring what is stored to one place of the store."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from webapp.core.errors import NocturneError
from webapp.core.places import places
from webapp.core.store_move import left_elsewhere, store_move
from webapp.uploads.models import StoredFile


class Command(BaseCommand):
    """Each file is copied, compared with its SHA-256, and only then removed where it was."""

    help = (
        "Bring what is stored to one place of the store, file by file, each checked by its SHA-256, while "
        "people work. Example: python manage.py store_move shared"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("place", help="where to: local, or a name of NOCTURNE_STORES")
        parser.add_argument("--workspace", help="the id of one workspace; all of them otherwise")

    def handle(self, *args: Any, **options: Any) -> None:
        """Move, and say what was done and what has to wait."""
        known = {place.name: place for place in places()}
        if options["place"] not in known:
            raise CommandError(f"The store has no such place. Its places are: {', '.join(sorted(known))}.")
        rows = StoredFile.objects.order_by("created_at")
        if options["workspace"]:
            rows = rows.filter(workspace=options["workspace"])
        try:
            done = store_move(to=known[options["place"]], stored=rows.iterator())
        except NocturneError as error:
            raise CommandError(f"{error.message} [{error.code}]") from None
        self.stdout.write(f"{done.moved} moved, {done.there} were there already.")
        if done.kept:
            self.stdout.write(
                f"{done.kept} are in both places, because a cycle that has not ended uses them. Run this "
                "again later."
            )
        left = left_elsewhere(known[options["place"]], set(rows.values_list("workspace_id", flat=True)))
        if left:
            self.stdout.write(f"Files that lie in other places still: {left}.")
        if done.missing:
            self.stdout.write(f"{done.missing} are in no place of the store. Restore them from a backup.")
