"""The upload application at /upload/: tus 1.0, streamed to disk in flat memory.

Django's own handler would spool the whole body to a temporary file before any view runs, and throw it away
when the connection breaks; so this small application stands before it. `config/asgi.py` wraps it in
Channels' session and login stack.

    OPTIONS /upload/        -> 204: what is spoken here
    POST    /upload/        -> 201: room is promised; the first bytes may come along
    HEAD    /upload/<id>    -> 200: how many bytes are here
    PATCH   /upload/<id>    -> 204: the bytes from there on
    DELETE  /upload/<id>    -> 204: it is not wanted any more

Errors are always {"code", "message"}. The whole of it for those who use it: docs/uploads.md.
"""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Final
from uuid import UUID

from channels.db import database_sync_to_async

from webapp.core.errors import NocturneError, NotFound
from webapp.projects.models import Project
from webapp.uploads import tus
from webapp.uploads.body import Disconnected
from webapp.uploads.gate import LoginRequired, check_request
from webapp.uploads.intake import receive_bytes
from webapp.uploads.metadata import read_metadata
from webapp.uploads.models import Upload
from webapp.uploads.services import upload_cancel, upload_create, upload_waits
from webapp.uploads.tus import Reply

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.uploads.body import Receive, Scope, Send
    from webapp.uploads.metadata import Announcement

logger = logging.getLogger(__name__)

_PATH: Final = re.compile(r"/upload/(?:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/?)?")
_BROKEN: Final = {
    "code": "server.error",
    "message": "Something broke on the server. What was received is kept; try again. The log says why.",
}


class UploadApplication:
    """Answers below /upload/. Expects `scope["user"]` from Channels' AuthMiddlewareStack."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. A broken connection is answered by silence."""
        try:
            reply = await self._answer(scope, receive)
        except Disconnected:
            return
        except NocturneError as error:
            reply = Reply(error.status, error.to_json())
            if "offset" in error.detail:
                reply.headers["Upload-Offset"] = str(error.detail["offset"])
        except Exception:
            logger.exception("An upload request failed")
            reply = Reply(500, _BROKEN)
        data = b"" if reply.body is None or scope["method"] == "HEAD" else json.dumps(reply.body).encode()
        headers = {
            "Tus-Resumable": tus.VERSION,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **reply.headers,
        }
        if reply.status == 412:
            headers["Tus-Version"] = tus.VERSION
        if reply.body is not None:
            headers["Content-Type"] = "application/json"
        if reply.status != 204:
            headers["Content-Length"] = str(len(data))
        if reply.status >= 400 and scope["method"] in {"POST", "PATCH"}:
            # The rest of a refused body is not waited for.
            headers["Connection"] = "close"
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": raw})
        await send({"type": "http.response.body", "body": data})

    async def _answer(self, scope: Scope, receive: Receive) -> Reply:
        user, method = scope["user"], scope["method"]
        if not user.is_authenticated:
            raise LoginRequired
        check_request(scope)
        match = _PATH.fullmatch(scope["path"])
        if match is None:
            raise NotFound
        if match[1] is None:
            if method == "OPTIONS":
                return tus.capabilities()
            if method != "POST":
                raise _method("OPTIONS and POST")
            tus.check_version(scope)
            return await _create(user, scope, receive)
        if method not in {"HEAD", "PATCH", "DELETE"}:
            raise _method("HEAD, PATCH and DELETE")
        tus.check_version(scope)
        upload = await database_sync_to_async(_find)(user, UUID(match[1]))
        if method == "DELETE":
            await database_sync_to_async(upload_cancel)(upload=upload)
            return Reply(204)
        await database_sync_to_async(upload_waits)(upload=upload)
        if method == "PATCH":
            return await _go_on(user, upload, scope, receive)
        return Reply(200, headers={"Upload-Length": str(upload.size_bytes), **tus.standing(upload)})


async def _create(user: User, scope: Scope, receive: Receive) -> Reply:
    size = tus.announced_length(scope)
    about = read_metadata(tus.header(scope, "Upload-Metadata"))
    length = tus.body_length(scope, most=size) if tus.has_body(scope) else 0
    upload = await database_sync_to_async(_announce)(user, about, size)
    if length:
        upload = await receive_bytes(actor=user, upload=upload, offset=0, length=length, receive=receive)
    return Reply(201, headers={"Location": f"/upload/{upload.pk}", **tus.standing(upload)})


async def _go_on(user: User, upload: Upload, scope: Scope, receive: Receive) -> Reply:
    offset = tus.claimed_offset(scope)
    length = tus.body_length(scope, most=max(upload.size_bytes - offset, 0))
    upload = await receive_bytes(actor=user, upload=upload, offset=offset, length=length, receive=receive)
    return Reply(204, headers=tus.standing(upload))


def _announce(user: User, about: Announcement, size: int) -> Upload:
    project = Project.objects.select_related("workspace", "current").get_visible(user, pk=about.project_id)
    return upload_create(
        actor=user,
        project=project,
        purpose=about.purpose,
        filename=about.filename,
        size_bytes=size,
        form=about.form,
        told_sha256=about.sha256,
    )


def _find(user: User, upload_id: UUID) -> Upload:
    """Only who began an upload may go on with it; for everybody else it does not exist."""
    return Upload.objects.select_related("project__workspace").get_visible(
        user, pk=upload_id, user_id=user.pk
    )


def _method(allowed: str) -> NocturneError:
    return NocturneError("request.method", f"This address takes {allowed}.", status=405)
