"""Addresses of checkpoints."""

from __future__ import annotations

from django.urls import path

from webapp.checkpoints import views
from webapp.checkpoints.downloads import checkpoint_download
from webapp.checkpoints.scores_page import checkpoint_scores

urlpatterns = [
    path("checkpoints/<uuid:checkpoint_id>/", views.checkpoint_detail, name="checkpoint_detail"),
    path("checkpoints/<uuid:checkpoint_id>/scores/", checkpoint_scores, name="checkpoint_scores"),
    path("checkpoints/<uuid:checkpoint_id>/promote/", views.checkpoint_promote, name="checkpoint_promote"),
    path("checkpoints/<uuid:checkpoint_id>/download/", checkpoint_download, name="checkpoint_download"),
]
