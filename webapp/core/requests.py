"""The request of somebody who is logged in, as the type checker sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpRequest

if TYPE_CHECKING:
    from webapp.accounts.models import User


class MemberRequest(HttpRequest):
    """Every view but the open ones is behind the login middleware, so `user` is a person."""

    user: User
