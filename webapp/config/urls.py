"""Every address of the site, one include an app."""

from __future__ import annotations

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
    path("", include("webapp.schedules.urls")),
    path("", include("webapp.fleet.urls")),
    path("", include("webapp.demo.urls")),
    path("accounts/", include("allauth.account.urls")),
    path("api/", api_urls()),
]
handler400 = "webapp.core.views.bad_request"
handler403 = "webapp.core.views.forbidden"
handler404 = "webapp.core.views.not_found"
handler500 = "webapp.core.views.server_error"
