"""Addresses of cycles. `cycle_create` (a new sleep of a project) lives with the projects' pages."""

from __future__ import annotations

from django.urls import path

from webapp.cycles import views
from webapp.cycles.new_score import answers_create, score_create, scores_create

urlpatterns = [
    path("checkpoints/<uuid:checkpoint_id>/score/", score_create, name="score_create"),
    path("records/<uuid:record_set_id>/answers/", answers_create, name="answers_create"),
    path("projects/<uuid:project_id>/score/", scores_create, name="scores_create"),
    path("cycles/<uuid:cycle_id>/", views.cycle_detail, name="cycle_detail"),
    path("cycles/<uuid:cycle_id>/outcome/", views.cycle_outcome, name="cycle_outcome"),
    path("cycles/<uuid:cycle_id>/cancel/", views.cycle_cancel, name="cycle_cancel"),
    path("cycles/<uuid:cycle_id>/pause/", views.cycle_pause, name="cycle_pause"),
    path("cycles/<uuid:cycle_id>/resume/", views.cycle_resume, name="cycle_resume"),
    path("cycles/<uuid:cycle_id>/extend/", views.cycle_extend, name="cycle_extend"),
    path("cycles/<uuid:cycle_id>/retry/", views.cycle_retry, name="cycle_retry"),
]
