"""Three applications behind one port: uploads (streamed to disk), the live socket, and Django's pages.

Uploads come before Django because Django's own handler would spool the whole body to a temporary file.
"""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.config.settings")
pages = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402  (both need Django to be set up)
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.conf import settings  # noqa: E402
from django.urls import re_path  # noqa: E402

from webapp.core.body_limit import BodyLimit  # noqa: E402
from webapp.live.origin import ExactOrigin  # noqa: E402
from webapp.live.routing import websocket_urlpatterns  # noqa: E402
from webapp.uploads.asgi import UploadApplication  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": URLRouter(
            [
                re_path(r"^upload/", AuthMiddlewareStack(UploadApplication())),  # type: ignore[arg-type, list-item]
                re_path(r"", BodyLimit(pages)),  # type: ignore[arg-type, list-item]
            ]
        ),
        "websocket": ExactOrigin(AuthMiddlewareStack(URLRouter(websocket_urlpatterns)), settings.ORIGINS),
    }
)
