"""Links for a program without a login: one download of one person, for five minutes (attack row A63).

The address carries the id of a row and a signature, nothing else. The signature binds the row to its object,
its exact bytes, its person, their workspace, their login and its end; and all of that is asked again each
time. Whoever logs out, changes the password or leaves the workspace takes the link with them.
"""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.core.signing import BadSignature, Signer
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _

from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role, role_in
from webapp.checkpoints.models import DownloadLink
from webapp.checkpoints.parcels import parcel_of
from webapp.core import audit
from webapp.core.errors import Conflict, NocturneError, NotFound

if TYPE_CHECKING:
    from uuid import UUID

    from webapp.accounts.models import User
    from webapp.checkpoints.models import Checkpoint
    from webapp.checkpoints.parcels import Parcel

LINK_SECONDS: Final = 300
# Of one person at a time; a script that needs more wants something else.
MOST_LINKS: Final = 50
# So long an old one still answers that it is too old, and not that it never was.
_REMEMBERED: Final = timedelta(days=1)
_SIGNER: Final = Signer(salt="webapp.checkpoints.links", sep="~")


class BadLink(NocturneError):
    """`link.invalid` or `link.expired` (403)."""

    status = 403


@transaction.atomic
def checkpoint_link(
    *, actor: User, checkpoint: Checkpoint, session_key: str, what: str = ""
) -> tuple[DownloadLink, str]:
    """A link to one download, and its signature.

    Args:
        actor: whoever may download may make one.
        checkpoint: the version, also in the trash.
        session_key: of the login that makes it; the link ends with it.
        what: "folder" or "weights"; "": as it goes home.

    Raises:
        NotFound: a stranger, or there is nothing of that kind.
        Conflict: `link.too_many`.
    """
    workspace = checkpoint.project.workspace
    require_role(actor, workspace, Role.VIEWER)
    parcel, now = parcel_of(checkpoint, what), timezone.now()
    own = DownloadLink.objects.filter(user=actor)
    own.filter(expires_at__lt=now - _REMEMBERED).delete()
    if own.filter(expires_at__gt=now).count() >= MOST_LINKS:
        raise Conflict(
            "link.too_many",
            _("You have %(n)d links that work. Wait a few minutes, then make another.") % {"n": MOST_LINKS},
        )
    link = DownloadLink.objects.create(
        checkpoint=checkpoint,
        user=actor,
        session_key=session_key,
        what=parcel.what,
        etag=parcel.etag,
        expires_at=now + timedelta(seconds=LINK_SECONDS),
    )
    audit.record(
        workspace=workspace, actor=actor, verb="checkpoint_link", target=checkpoint, what=parcel.what,
        number=checkpoint.number,
    )  # fmt: skip
    return link, _SIGNER.signature(_facts(link))


def checkpoint_link_open(*, link_id: UUID, signature: str) -> tuple[Checkpoint, Parcel]:
    """What a link leads to.

    Raises:
        BadLink: `link.expired`: its five minutes are over; `link.invalid`: anything else that does not fit,
            with one answer for all of it.
    """
    rows = DownloadLink.objects.select_related("checkpoint__project__workspace", "user")
    link = rows.filter(pk=link_id).first()
    if link is None or not _signed(link, signature):
        raise _invalid()
    if link.expires_at <= timezone.now():
        raise BadLink(
            "link.expired",
            _("This link worked for five minutes and is too old now. Make a new one on the checkpoint's "
              "page; a download that broke goes on where it stopped."),
        )  # fmt: skip
    checkpoint = link.checkpoint
    if not _logged_in(link) or role_in(link.user, checkpoint.project.workspace) is None:
        raise _invalid()
    try:
        parcel = parcel_of(checkpoint, link.what)
    except NotFound:
        raise _invalid() from None
    if parcel.etag != link.etag:
        raise _invalid()
    return checkpoint, parcel


def _facts(link: DownloadLink) -> str:
    """All that the signature stands for."""
    workspace = link.checkpoint.project.workspace_id
    facts = (link.pk, link.checkpoint_id, link.etag, link.what, link.user_id, workspace, link.session_key)
    return "|".join([*map(str, facts), link.expires_at.isoformat()])


def _signed(link: DownloadLink, signature: str) -> bool:
    try:
        _SIGNER.unsign(f"{_facts(link)}~{signature}")
    except BadSignature:
        return False
    return True


def _logged_in(link: DownloadLink) -> bool:
    """Whether the login that made it is still there, and the password still the same."""
    session = import_module(settings.SESSION_ENGINE).SessionStore(link.session_key)
    known, user = session.load(), link.user
    if not user.is_active or known.get(SESSION_KEY) != str(user.pk):
        return False
    return constant_time_compare(known.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash())


def _invalid() -> BadLink:
    return BadLink(
        "link.invalid",
        _("This link does not work: it was changed, or whoever made it has logged out or left. Make a new "
          "one on the checkpoint's page."),
    )  # fmt: skip
