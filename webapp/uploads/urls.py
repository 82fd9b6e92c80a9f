"""Addresses of the upload page; the bytes go to /upload/, outside of Django (see asgi.py)."""

from __future__ import annotations

from django.urls import path

from webapp.uploads import views

urlpatterns = [
    path("projects/<uuid:project_id>/upload/", views.checkpoint_upload, name="checkpoint_upload"),
    path("uploads/<uuid:upload_id>/rest/", views.upload_take_rest, name="upload_take_rest"),
    path("uploads/<uuid:upload_id>/rest/drop/", views.upload_drop_rest, name="upload_drop_rest"),
]
