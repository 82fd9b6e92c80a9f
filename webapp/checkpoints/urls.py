"""Addresses of checkpoints and of the aliases that point to them."""

from __future__ import annotations

from django.urls import path

from webapp.checkpoints import alias_pages, base_pages, trash_pages, views
from webapp.checkpoints.downloads import (
    checkpoint_download,
    checkpoint_download_weights,
    checkpoint_link_open,
)
from webapp.checkpoints.scores_page import checkpoint_scores

ALIAS = "projects/<uuid:project_id>/aliases/<slug:alias_name>/"

urlpatterns = [
    path("checkpoints/<uuid:checkpoint_id>/", views.checkpoint_detail, name="checkpoint_detail"),
    path("checkpoints/<uuid:checkpoint_id>/scores/", checkpoint_scores, name="checkpoint_scores"),
    path("checkpoints/<uuid:checkpoint_id>/promote/", views.checkpoint_promote, name="checkpoint_promote"),
    path("checkpoints/<uuid:checkpoint_id>/download/", checkpoint_download, name="checkpoint_download"),
    path("checkpoints/<uuid:checkpoint_id>/base/", base_pages.checkpoint_base, name="checkpoint_base"),
    path(
        "checkpoints/<uuid:checkpoint_id>/download/weights/",
        checkpoint_download_weights,
        name="checkpoint_download_weights",
    ),
    path("links/<uuid:link_id>/<str:signature>/", checkpoint_link_open, name="checkpoint_link_open"),
    path("checkpoints/<uuid:checkpoint_id>/trash/", trash_pages.checkpoint_trash, name="checkpoint_trash"),
    path(
        "checkpoints/<uuid:checkpoint_id>/restore/", trash_pages.checkpoint_restore, name="checkpoint_restore"
    ),
    path("checkpoints/<uuid:checkpoint_id>/delete/", trash_pages.checkpoint_delete, name="checkpoint_delete"),
    path("projects/<uuid:project_id>/aliases/", alias_pages.alias_set, name="alias_set"),
    path(ALIAS + "delete/", alias_pages.alias_delete, name="alias_delete"),
    path(ALIAS + "follow/", alias_pages.alias_follow, name="alias_follow"),
    path(ALIAS + "download/", alias_pages.alias_download, name="alias_download"),
]
