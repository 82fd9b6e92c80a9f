"""Addresses of the workers' page."""

from __future__ import annotations

from django.urls import path

from webapp.fleet import views

urlpatterns = [
    path("fleet/", views.fleet, name="fleet"),
    path("fleet/workers/<uuid:worker_id>/drain/", views.worker_drain, name="worker_drain"),
    path("fleet/workers/<uuid:worker_id>/undrain/", views.worker_undrain, name="worker_undrain"),
]
