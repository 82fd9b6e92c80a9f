"""A memory that is also in a probe proves nothing, however it was stored."""

from __future__ import annotations

import numpy as np
import pytest

from consolidation.errors import NocturneInputError
from consolidation.fit import without_probes
from consolidation.memory.store import Records, Transform

PIXELS = np.random.default_rng(0).integers(0, 17, (30, 8)).astype(np.uint8)
LABELS = np.arange(30) % 3
PROBE = Records(task="t", x=PIXELS[:10], y=LABELS[:10], classes=3, transform=Transform(scale=1 / 16))


def test_the_same_inputs_in_another_precision_are_found() -> None:
    floats = (PIXELS * np.float32(1 / 16)).astype(np.float32)
    left, dropped = without_probes([Records(task="t", x=floats, y=LABELS, classes=3)], [PROBE], "memories")
    assert dropped == 10
    assert len(left[0]) == 20


def test_the_same_inputs_under_another_label_are_found() -> None:
    wrong = Records(
        task="t", x=PIXELS[:10], y=(LABELS[:10] + 1) % 3, classes=3, transform=Transform(scale=1 / 16)
    )
    with pytest.raises(NocturneInputError) as refused:
        without_probes([wrong], [PROBE], "memories")
    assert refused.value.code == "memories.empty"


def test_other_inputs_stay() -> None:
    rest = Records(task="t", x=PIXELS[10:], y=LABELS[10:], classes=3, transform=Transform(scale=1 / 16))
    assert without_probes([rest], [PROBE], "memories") == ([rest], 0)
