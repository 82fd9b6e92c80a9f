"""Addresses of reports: the members' own, their links, and the one that a link opens."""

from __future__ import annotations

from django.urls import path

from webapp.reports import views

urlpatterns = [
    path("cycles/<uuid:cycle_id>/report/", views.cycle_report, name="cycle_report"),
    path("cycles/<uuid:cycle_id>/report/links/", views.report_links, name="report_links"),
    path("reports/<uuid:share_id>/revoke/", views.report_share_revoke, name="report_share_revoke"),
    path("r/<str:token>/", views.shared_report, name="shared_report"),
]
