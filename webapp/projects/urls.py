"""Addresses of projects."""

from __future__ import annotations

from django.urls import path

from webapp.cycles.compare_page import cycle_compare
from webapp.cycles.new_sleep import cycle_create
from webapp.cycles.new_wake import wake_create
from webapp.projects import views

urlpatterns = [
    path("projects/", views.project_list, name="project_list"),
    path("projects/new/", views.project_create, name="project_create"),
    path("projects/<uuid:project_id>/", views.project_detail, name="project_detail"),
    path("projects/<uuid:project_id>/rename/", views.project_rename, name="project_rename"),
    path("projects/<uuid:project_id>/sleep/", cycle_create, name="cycle_create"),
    path("projects/<uuid:project_id>/wake/", wake_create, name="wake_create"),
    path("projects/<uuid:project_id>/compare/", cycle_compare, name="cycle_compare"),
]
