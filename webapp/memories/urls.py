"""Addresses of memories and probes."""

from __future__ import annotations

from django.urls import path

from webapp.memories import trash_pages, views

SET = "record-sets/<uuid:record_set_id>/"

urlpatterns = [
    path("projects/<uuid:project_id>/records/", views.records_list, name="records_list"),
    path("projects/<uuid:project_id>/tasks/", views.task_add, name="task_add"),
    path(SET + "trash/", trash_pages.record_set_trash, name="record_set_trash"),
    path(SET + "restore/", trash_pages.record_set_restore, name="record_set_restore"),
    path(SET + "delete/", trash_pages.record_set_delete, name="record_set_delete"),
]
