from __future__ import annotations

from django.urls import path

from webapp.demo.views import demo_start

urlpatterns = [path("demo/", demo_start, name="demo_start")]
