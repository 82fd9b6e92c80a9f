"""The upload application at /upload/: streams a body to disk in flat memory.

Django's own handler would spool the whole body to a temporary file before any view runs, and throw it away
when the connection breaks; so this small application stands before it. `config/asgi.py` wraps it in
Channels' session and login stack.

    POST   /upload/        {"project", "purpose", "filename", "size", "form"} -> 201 {"id", ...}: room is
    promised PUT    /upload/<id>    the bytes, exactly `size` of them -> 200 {"state": "verifying", "sha256",
    ...} DELETE /upload/<id>    -> 200 {"state": "aborted"}

Errors are always {"code", "message"}. Resumable uploads will add headers to these three, not replace them.
"""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any, Final, NoReturn
from uuid import UUID

from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async

from webapp.core.errors import Conflict, NocturneError, NotFound
from webapp.projects.models import Project
from webapp.uploads.body import Disconnected, read_json, stream_to_disk
from webapp.uploads.declared import refuse_unknown
from webapp.uploads.gate import LoginRequired, check_request
from webapp.uploads.models import Upload
from webapp.uploads.receiving import PartFile
from webapp.uploads.selectors import part_path, upload_status
from webapp.uploads.services import upload_abort, upload_begin, upload_create, upload_finish

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.uploads.body import Receive, Scope, Send

logger = logging.getLogger(__name__)


_PATH: Final = re.compile(r"/upload/(?:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/?)?")
_BROKEN: Final = {
    "code": "server.error",
    "message": "Something broke on the server, and nothing was kept. Try again; the log says why.",
}
_FIELDS: Final = frozenset({"project", "purpose", "filename", "size", "form"})


class UploadApplication:
    """Answers below /upload/. Expects `scope["user"]` from Channels' AuthMiddlewareStack."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. A broken connection is answered by silence, and nothing of it is left."""
        try:
            status, body = await self._answer(scope, receive)
        except Disconnected:
            return
        except NocturneError as error:
            status, body = error.status, error.to_json()
        except Exception:
            logger.exception("An upload request failed")
            status, body = 500, _BROKEN
        data = json.dumps(body).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(data)).encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]
        if status >= 400 and scope["method"] == "PUT":
            # The rest of a refused body is not waited for.
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": data})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, dict[str, Any]]:
        user = scope["user"]
        if not user.is_authenticated:
            raise LoginRequired
        check_request(scope)
        match = _PATH.fullmatch(scope["path"])
        if match is None:
            raise NotFound
        method = scope["method"]
        if match[1] is None:
            if method != "POST":
                raise _method("POST")
            fields = await read_json(receive)
            return 201, await database_sync_to_async(_create)(user, fields)
        if method not in {"PUT", "DELETE"}:
            raise _method("PUT or DELETE")
        upload = await database_sync_to_async(_find)(user, UUID(match[1]))
        if method == "DELETE":
            return 200, await database_sync_to_async(_cancel)(upload)
        return 200, await self._receive(scope, receive, user, upload)

    async def _receive(self, scope: Scope, receive: Receive, user: User, upload: Upload) -> dict[str, Any]:
        _check_length(scope, upload.size_bytes)
        await database_sync_to_async(upload_begin)(actor=user, upload=upload)
        part: PartFile | None = None
        try:
            part = await sync_to_async(PartFile, thread_sensitive=False)(
                part_path(upload.pk), upload.size_bytes
            )
            sha256 = await stream_to_disk(receive, part, upload.size_bytes)
        except Conflict:
            # Another request writes this upload; what it writes is not ours to remove.
            raise
        except BaseException as error:
            if part is not None:
                await sync_to_async(part.discard, thread_sensitive=False)()
            code, message = (error.code, error.message) if isinstance(error, NocturneError) else ("", "")
            await database_sync_to_async(upload_abort)(upload=upload, code=code, message=message)
            raise
        return await database_sync_to_async(_finish)(upload, sha256)


def _create(user: User, fields: dict[str, Any]) -> dict[str, Any]:
    refuse_unknown(fields, _FIELDS)
    size, form = fields.get("size"), fields.get("form") or {}
    texts = [fields.get(name) for name in ("project", "purpose", "filename")]
    if isinstance(size, bool) or not isinstance(size, int) or size > 2**60 or not isinstance(form, dict):
        _invalid()
    if not all(isinstance(text, str) for text in texts):
        _invalid()
    try:
        project_id = UUID(fields["project"])
    except ValueError:
        raise NotFound from None
    project = Project.objects.select_related("workspace", "current").get_visible(user, pk=project_id)
    upload = upload_create(
        actor=user,
        project=project,
        purpose=fields["purpose"],
        filename=fields["filename"],
        size_bytes=size,
        form=form,
    )
    return upload_status(upload)


def _invalid() -> NoReturn:
    raise NocturneError(
        "request.invalid",
        "These are needed: project, purpose and filename as text, size as a whole number, form as a table.",
    )


def _find(user: User, upload_id: UUID) -> Upload:
    """Only who began an upload may go on with it; for everybody else it does not exist."""
    return Upload.objects.select_related("project__workspace").get_visible(
        user, pk=upload_id, user_id=user.pk
    )


def _cancel(upload: Upload) -> dict[str, Any]:
    upload_abort(upload=upload)
    upload.refresh_from_db()
    return upload_status(upload)


def _finish(upload: Upload, sha256: str) -> dict[str, Any]:
    return upload_status(upload_finish(upload=upload, sha256=sha256))


def _check_length(scope: Scope, size: int) -> None:
    """The body must announce exactly the size for which room was promised."""
    headers = dict(scope["headers"])
    text = headers.get(b"content-length", b"")
    if b"transfer-encoding" in headers or not text.isdigit():
        raise NocturneError(
            "upload.length", "The request does not say how long the file is. Send Content-Length."
        )
    told = int(text)
    if told != size:
        raise NocturneError(
            "upload.length",
            f"The file was announced with {size:,} bytes, and now it has {told:,}. Choose it again.",
            status=413 if told > size else 400,
        )


def _method(allowed: str) -> NocturneError:
    return NocturneError("request.method", f"This address takes {allowed}.", status=405)
