"""Addresses of memories and probes."""

from __future__ import annotations

from django.urls import path

from webapp.memories import views

urlpatterns = [
    path("projects/<uuid:project_id>/records/", views.records_list, name="records_list"),
    path("projects/<uuid:project_id>/tasks/", views.task_add, name="task_add"),
]
