"""Addresses of the upload page; the bytes go to /upload/, outside of Django (see asgi.py)."""

from __future__ import annotations

from django.urls import path

from webapp.uploads import views

urlpatterns = [
    path("projects/<uuid:project_id>/upload/", views.checkpoint_upload, name="checkpoint_upload"),
]
