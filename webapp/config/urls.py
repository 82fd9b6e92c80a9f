"""Every address of the site, one include an app."""

from __future__ import annotations

from allauth.account import views as accounts
from django.urls import include, path

from webapp.config.api import api_urls

urlpatterns = [
    path("", include("webapp.core.urls")),
    path("", include("webapp.accounts.urls")),
    path("", include("webapp.projects.urls")),
    path("", include("webapp.checkpoints.urls")),
    path("", include("webapp.uploads.urls")),
    path("", include("webapp.memories.urls")),
    path("", include("webapp.cycles.urls")),
    path("", include("webapp.live.urls")),
    path("", include("webapp.schedules.urls")),
    path("", include("webapp.fleet.urls")),
    path("", include("webapp.reports.urls")),
    path("", include("webapp.storage.urls")),
    path("", include("webapp.demo.urls")),
    # Of allauth only what an account here can do; it has more doors (addresses, sign-up, mails) than that.
    path("accounts/login/", accounts.login, name="account_login"),
    path("accounts/logout/", accounts.logout, name="account_logout"),
    path("accounts/inactive/", accounts.account_inactive, name="account_inactive"),
    path("accounts/password/change/", accounts.password_change, name="account_change_password"),
    path("accounts/reauthenticate/", accounts.reauthenticate, name="account_reauthenticate"),
    path("api/", api_urls()),
]
handler400 = "webapp.core.views.bad_request"
handler403 = "webapp.core.views.forbidden"
handler404 = "webapp.core.views.not_found"
handler500 = "webapp.core.views.server_error"
