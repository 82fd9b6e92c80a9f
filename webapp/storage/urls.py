"""Addresses of the workspace's room and its trash."""

from __future__ import annotations

from django.urls import path

from webapp.storage import views

urlpatterns = [
    path("storage/", views.storage, name="storage"),
    path("storage/trash/", views.trash, name="trash"),
    path("storage/trash/empty/", views.trash_empty, name="trash_empty"),
]
