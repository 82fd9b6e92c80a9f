"""Addresses of people: the one-time links and the settings."""

from __future__ import annotations

from django.urls import path

from webapp.accounts import settings_pages, views

urlpatterns = [
    path("welcome/<str:token>/", views.owner_welcome, name="owner_welcome"),
    path("settings/", settings_pages.settings, name="settings"),
    path("settings/profile/", settings_pages.settings_profile, name="settings_profile"),
    path("settings/members/", settings_pages.settings_members, name="settings_members"),
    path("settings/members/invite/", settings_pages.invitation_create, name="invitation_create"),
    path(
        "settings/members/<uuid:membership_id>/role/",
        settings_pages.membership_change,
        name="membership_change",
    ),
    path(
        "settings/members/<uuid:membership_id>/remove/",
        settings_pages.membership_remove,
        name="membership_remove",
    ),
    path("settings/audit/", settings_pages.settings_audit, name="settings_audit"),
]
