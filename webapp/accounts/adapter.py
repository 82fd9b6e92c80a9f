"""How allauth behaves here: nobody signs up alone, people come in by a link."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allauth.account.adapter import DefaultAccountAdapter

if TYPE_CHECKING:
    from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):
    """Logins, log-outs and passwords by allauth; accounts only by invitation."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Never: an account comes from the owner's link or an invitation."""
        return False
