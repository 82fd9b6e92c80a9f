"""Addresses of tonight, of the search and of the health check."""

from __future__ import annotations

from django.urls import path

from webapp.core import views

urlpatterns = [
    path("", views.home, name="home"),
    path("search/", views.search_page, name="search"),
    path("healthz", views.healthz, name="healthz"),
]
