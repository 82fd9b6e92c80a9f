"""Addresses of memories and probes."""

from __future__ import annotations

from django.urls import path

from webapp.memories import set_pages, trash_pages, views

SET = "record-sets/<uuid:record_set_id>/"

urlpatterns = [
    path("projects/<uuid:project_id>/records/", views.records_list, name="records_list"),
    path("projects/<uuid:project_id>/tasks/", views.task_add, name="task_add"),
    path(SET, set_pages.record_set_detail, name="record_set_detail"),
    path(SET + "retention/", set_pages.record_set_retain, name="record_set_retain"),
    path(SET + "erase/", set_pages.record_set_erase, name="record_set_erase"),
    path(SET + "checkpoints/", set_pages.record_set_shaped, name="record_set_shaped"),
    path("erasures/<uuid:erasure_id>/", set_pages.erasure_detail, name="erasure_detail"),
    path(
        "erasures/<uuid:erasure_id>/certificate.json",
        set_pages.erasure_certificate,
        name="erasure_certificate",
    ),
    path(SET + "trash/", trash_pages.record_set_trash, name="record_set_trash"),
    path(SET + "restore/", trash_pages.record_set_restore, name="record_set_restore"),
    path(SET + "delete/", trash_pages.record_set_delete, name="record_set_delete"),
]
