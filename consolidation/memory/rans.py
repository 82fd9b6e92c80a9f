"""Binary range-variant asymmetric numeral systems, in lanes, so that numpy codes many symbols at a step.

Duda, "Asymmetric numeral systems" (arXiv:1311.2540, 2013); lanes share one stream of 16-bit words as in
Giesen, "Interleaved entropy coders" (arXiv:1402.3392, 2014). Integers only: machines agree to the bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BITS = 14
ONE = 1 << BITS
LOW = 1 << 16  # a lane's state is at least this between two steps

Ints = NDArray[np.int64]


class Encoder:
    """Collects symbols in coding order; `finish` codes them backwards, as the method demands."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self._frequency: list[Ints] = []
        self._start: list[Ints] = []

    def code(self, ones: Ints, bits: Ints) -> Ints:
        """Adds bits [n], 1 with chance ones [n] / 2**14 (from 1 to 2**14 - 1); returns the bits."""
        self._frequency.append(np.where(bits == 1, ones, ONE - ones))
        self._start.append(np.where(bits == 1, 0, ones))
        return bits

    def finish(self) -> bytes:
        """Lane states (u4), then the words (u2), little endian."""
        state = np.full(self.lanes, LOW, np.int64)
        words: list[Ints] = []
        for frequency, start in zip(reversed(self._frequency), reversed(self._start), strict=True):
            last = (len(frequency) - 1) // self.lanes * self.lanes
            for place in range(last, -1, -self.lanes):
                f, s = frequency[place : place + self.lanes], start[place : place + self.lanes]
                x = state[: len(f)]
                full = x >= f << (32 - BITS)
                if full.any():
                    words.append(x[full][::-1] & 0xFFFF)
                    x = np.where(full, x >> 16, x)
                q = x // f
                state[: len(f)] = (q << BITS) + (x - q * f) + s
        tail = np.concatenate(words)[::-1] if words else np.empty(0, np.int64)
        return state.astype("<u4").tobytes() + tail.astype("<u2").tobytes()


class Decoder:
    """Reads what `Encoder` wrote. Raises ValueError when the bytes end early or were not written so."""

    def __init__(self, lanes: int, blob: bytes) -> None:
        if len(blob) < 4 * lanes or (len(blob) - 4 * lanes) % 2:
            raise ValueError("the code is cut short")
        self.lanes = lanes
        self._state = np.frombuffer(blob, "<u4", lanes).astype(np.int64)
        self._words = np.frombuffer(blob, "<u2", offset=4 * lanes).astype(np.int64)
        self._place = 0

    def code(self, ones: Ints, _: Any = None) -> Ints:
        """The next len(ones) bits."""
        out = np.empty(len(ones), np.int64)
        for place in range(0, len(ones), self.lanes):
            p = ones[place : place + self.lanes]
            x = self._state[: len(p)]
            slot = x & (ONE - 1)
            bit = slot < p
            x = np.where(bit, p, ONE - p) * (x >> BITS) + slot - np.where(bit, 0, p)
            short = x < LOW
            count = int(np.count_nonzero(short))
            if count:
                if self._place + count > len(self._words):
                    raise ValueError("the code is cut short")
                x[short] = x[short] << 16 | self._words[self._place : self._place + count]
                self._place += count
            self._state[: len(p)] = x
            out[place : place + len(p)] = bit
        return out

    def finish(self) -> None:
        """Raises ValueError unless exactly all was read."""
        if self._place != len(self._words) or not (self._state == LOW).all():
            raise ValueError("the code does not end where it should")
