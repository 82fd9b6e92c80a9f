"""Who loses a right stops watching at once: a log-out, a new password, a changed or ended membership.

The notice is a hint like every other: the web processes look again for that person's sockets. Without it they
would notice at the next look, a minute later at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.signals import user_logged_out
from django.db import connection
from django.db.models.signals import post_delete, post_save

from webapp.live.store import PEOPLE

if TYPE_CHECKING:
    from webapp.accounts.models import Membership, User


def watch() -> None:
    """Listen to Django's own signals, whatever service, admin page or command caused them."""
    user_logged_out.connect(_logged_out, dispatch_uid="live.rights.logged_out")
    post_save.connect(_user_saved, sender="accounts.User", dispatch_uid="live.rights.user")
    for signal in (post_save, post_delete):
        signal.connect(_membership, sender="accounts.Membership", dispatch_uid="live.rights.membership")


def _tell(user_id: object) -> None:
    """Delivered when the transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [PEOPLE, str(user_id)])


def _logged_out(user: User | None, **_: Any) -> None:
    if user is not None:
        _tell(user.pk)


def _user_saved(instance: User, created: bool, update_fields: frozenset[str] | None, **_: Any) -> None:
    # A login writes when it was, which takes no right away.
    if not created and update_fields != frozenset({"last_login"}):
        _tell(instance.pk)


def _membership(instance: Membership, created: bool = False, **_: Any) -> None:
    if not created:
        _tell(instance.user_id)
