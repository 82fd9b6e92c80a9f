"""Texts go compressed to whoever takes them so; everything else goes as it is."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client, RequestFactory

from webapp.core.compression import TextCompression

SCRIPT = "/static/js/chart.js"


def body(answer: Any) -> bytes:
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


@pytest.mark.parametrize("address", [SCRIPT, "/static/css/components.css"])
def test_assets_are_compressed_for_whoever_takes_it(address: str, db: None) -> None:
    plain = Client().get(address)
    small = Client(headers={"Accept-Encoding": "gzip"}).get(address)
    assert "Content-Encoding" not in plain.headers
    assert small.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in small.headers["Vary"]
    words, packed = body(plain), body(small)
    assert gzip.decompress(packed) == words
    assert len(packed) < len(words) / 2


def test_a_page_is_compressed(db: None) -> None:
    answer = Client(headers={"Accept-Encoding": "gzip"}).get("/accounts/login/")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert b"</html>" in gzip.decompress(answer.content)


def test_a_download_keeps_its_bytes_and_its_length() -> None:
    def download(_request: object) -> HttpResponse:
        answer = HttpResponse(b"0" * 5000, content_type="application/octet-stream")
        answer.headers["Content-Length"] = "5000"
        return answer

    answer: Any = TextCompression(download)(RequestFactory().get("/", headers={"Accept-Encoding": "gzip"}))
    assert "Content-Encoding" not in answer.headers
    assert answer.headers["Content-Length"] == "5000"


def test_a_part_of_a_file_is_never_compressed(db: None) -> None:
    asked = {"Accept-Encoding": "gzip", "Range": "bytes=0-299"}
    answer = Client(headers=asked).get(SCRIPT)
    assert answer.status_code == 206
    assert "Content-Encoding" not in answer.headers
    assert len(body(answer)) == 300
