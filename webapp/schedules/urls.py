"""Addresses of schedules."""

from __future__ import annotations

from django.urls import path

from webapp.schedules import views

urlpatterns = [
    path("schedules/", views.schedule_overview, name="schedule_overview"),
    path("schedules/preview/", views.schedule_preview, name="schedule_preview"),
    path("projects/<uuid:project_id>/schedules/", views.schedule_list, name="schedule_list"),
    path("schedules/<uuid:schedule_id>/", views.schedule_detail, name="schedule_detail"),
    path("schedules/<uuid:schedule_id>/switch/", views.schedule_switch, name="schedule_switch"),
    path("schedules/<uuid:schedule_id>/delete/", views.schedule_delete, name="schedule_delete"),
    path("schedules/<uuid:schedule_id>/restore/", views.schedule_restore, name="schedule_restore"),
]
