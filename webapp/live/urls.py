"""Addresses of the stream's exports; frames and history are part of the API."""

from __future__ import annotations

from django.urls import path

from webapp.live.export import points_csv

urlpatterns = [path("cycles/<uuid:cycle_id>/points.csv", points_csv, name="points_csv")]
