"""A project's first checkpoint, as an upload would leave it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from consolidation.demo import digits
from consolidation.formats.checkpoint import inspect_checkpoint
from webapp.checkpoints.choices import Origin, Standing
from webapp.checkpoints.services import checkpoint_create

if TYPE_CHECKING:
    from tests.support.jobs import Lab
    from webapp.checkpoints.models import Checkpoint


def first_checkpoint(lab: Lab) -> Checkpoint:
    """A fresh model of the digits' family, stored and promoted."""
    from consolidation.weights import new_model, save_model

    with tempfile.TemporaryDirectory() as folder:
        raw, clean = Path(folder) / "raw.safetensors", Path(folder) / "clean.safetensors"
        save_model(new_model(digits.FAMILY, digits.CONFIG, digits.SEED), raw)
        info = inspect_checkpoint(raw, out=clean)
        sha256, size = lab.store(clean)
    return checkpoint_create(
        project=lab.project,
        cycle=None,
        parent=None,
        origin=Origin.UPLOAD,
        standing=Standing.PROMOTED,
        sha256=sha256,
        size_bytes=size,
        family=info["family"],
        config=info["config"],
        tensors=info["tensors"],
        parameters=info["parameters"],
        non_finite=info["non_finite"],
        wake={},
        actor=lab.alice,
    )
