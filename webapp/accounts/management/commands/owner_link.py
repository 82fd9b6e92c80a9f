"""`manage.py owner_link`: print the one-time link that makes the first owner, again."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from webapp.accounts.services import owner_link_create


class Command(BaseCommand):
    """Prints a fresh first-owner link; the ones printed before stop working."""

    help = "Print a one-time link that creates the first owner. Example: python manage.py owner_link"

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the link, or say that there is an owner."""
        link = owner_link_create(base_url=settings.NOCTURNE_URL)
        if link is None:
            raise CommandError(
                "This installation has an owner already. Log in, or ask them for an invitation."
            )
        self.stdout.write(link)
