"""Lossless code for many records of few-bit numbers, when neighbours in memory need not be alike.

A permuted image has no neighbours, yet each pixel still follows a few others. The encoder finds for every
column up to three earlier columns that tell most about it (Chow and Liu 1968, with several parents instead
of one) and writes them down; both sides then learn all chances from the rows already coded, so no table of
counts is stored. A context that was seen seldom leans on the next shorter one (hierarchical smoothing as in
MacKay and Peto 1995), in integers: every machine decodes the same bits.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from consolidation.memory.rans import BITS, ONE, Decoder, Encoder, Ints

Codes = NDArray[np.uint8]
MOST_PARENTS = 3
LEAN = {1: 4, 2: 6, 4: 10, 8: 10}  # how many sightings the shorter context counts for, by bits a number
LEARN_ROWS = 2048  # rows that the parents are chosen from
TOGETHER = 1024  # columns among which parents are looked for: the search grows with the square


def encode_columns(values: Codes, bits: int) -> bytes:
    """The code of values [rows, columns], each under 2**bits; `bits` is 1, 2, 4 or 8."""
    constant = (values == values[:1]).all(0)
    fixed = values[0, constant]
    body = np.packbits(constant).tobytes()
    body = (b"\1" + body + fixed.tobytes()) if fixed.any() else (b"\0" + body)
    moving = values[:, ~constant]
    if not moving.shape[1]:
        return body
    width = moving.shape[1]
    parents = np.concatenate(
        [
            choose_parents(moving[:LEARN_ROWS, place : place + TOGETHER], bits, place, width)
            for place in range(0, width, TOGETHER)
        ]
    )
    coder = Encoder(_lanes(len(values), bits))
    _walk(coder, moving, parents, bits)
    return body + _pack_parents(parents) + coder.finish()


def decode_columns(blob: bytes, rows: int, columns: int, bits: int) -> Codes:
    """uint8 [rows, columns]. Raises ValueError for bytes that `encode_columns` did not write."""
    place = 1 + -(-columns // 8)
    if len(blob) < place or blob[0] > 1:
        raise ValueError("the table of columns is cut short")
    constant = np.unpackbits(np.frombuffer(blob, np.uint8, place - 1, 1), count=columns).astype(np.bool_)
    out = np.zeros((rows, columns), np.uint8)
    if blob[0]:
        count = int(constant.sum())
        if len(blob) < place + count:
            raise ValueError("the table of columns is cut short")
        out[:, constant] = np.frombuffer(blob, np.uint8, count, place)
        place += count
    width = columns - int(constant.sum())
    if width:
        parents, place = _unpack_parents(blob, place, width)
        coder = Decoder(_lanes(rows, bits), blob[place:])
        moving = np.zeros((rows, width), np.uint8)
        _walk(coder, moving, parents, bits)
        coder.finish()
        out[:, ~constant] = moving
    elif len(blob) != place:
        raise ValueError("something follows the code")
    return out


def _lanes(rows: int, bits: int) -> int:
    """More lanes are faster, and each costs four bytes."""
    return int(min(max(4, rows * bits // 8), 32 * (bits + 1)))


# ------------------------------------------------------------ which columns tell about which


def _entropy(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """n log2 n of every count, 0 at 0."""
    return counts * np.log2(np.maximum(counts, 1))


def choose_parents(values: Codes, bits: int, start: int, total: int) -> Ints:
    """int64 [columns, 3]: columns that are coded before this one and tell about it, best first; -1: none.

    The columns given are `start`, `start` + 1, ... of `total`, and the answer names them so.
    """
    on = (values >= max(1, 1 << (bits - 1))).astype(np.float32)
    rows, width = on.shape
    both = (on.T @ on).astype(np.float64)
    ones = np.diag(both)
    told = (
        _entropy(both) + _entropy(ones[:, None] - both) + _entropy(ones[None] - both)
        + _entropy(rows - ones[:, None] - ones[None] + both)
        - _entropy(ones)[:, None] - _entropy(ones)[None] - _entropy(rows - ones)[:, None]
        - _entropy(rows - ones)[None] + rows * math.log2(rows)
    )  # fmt: skip
    np.fill_diagonal(told, -1)
    index_bits = max(1, (total - 1).bit_length())
    parents = np.full((width, MOST_PARENTS), -1, np.int64)
    best = told.max(0)
    first = int(best.argmax())
    placed = [first]
    near = told[first].copy()
    near[first] = -np.inf
    while len(placed) < width:  # Prim's tree: the column that is best told by those already placed comes next
        here = int(near.argmax())
        _greedy(on, here, np.array(placed), parents[here], told[here], index_bits)
        placed.append(here)
        near = np.maximum(near, told[here])
        near[placed] = -np.inf
    named: Ints = np.where(parents < 0, parents, parents + start)
    return named


def _greedy(
    on: NDArray[np.float32], here: int, earlier: Ints, chosen: Ints, told: NDArray[np.float64],
    index_bits: int,
) -> None:  # fmt: skip
    """Fills `chosen` while one more parent saves more than it costs."""
    rows = len(on)
    parameter = 0.5 * math.log2(rows + 1)
    groups = np.ones((1, rows), np.float32)
    for number in range(MOST_PARENTS):
        if number == 0:
            gain = told[earlier]
        else:
            x = on[:, here]
            gain = np.zeros(len(earlier))
            masks = np.concatenate([groups * x, groups * (1 - x)])
            seen = (masks @ on[:, earlier]).astype(np.float64)
            size = masks.sum(1, dtype=np.float64)[:, None]
            half = len(groups)
            n11, n01 = seen[:half], seen[half:]
            n10, n00 = size[:half] - n11, size[half:] - n01
            gain = (
                _entropy(n11) + _entropy(n01) + _entropy(n10) + _entropy(n00)
                - _entropy(n11 + n01) - _entropy(n10 + n00)
                - _entropy(size[:half]) - _entropy(size[half:]) + _entropy(size[:half] + size[half:])
            ).sum(0)  # fmt: skip
        top = int(gain.argmax())
        if gain[top] < index_bits + parameter * 2**number * 0.5:
            return
        chosen[number] = earlier[top]
        mask = on[:, earlier[top]]
        groups = np.concatenate([groups * mask, groups * (1 - mask)])


def _pack_parents(parents: Ints) -> bytes:
    """Two bits for how many, then the indices, column after column."""
    width = len(parents)
    index_bits = max(1, (width - 1).bit_length())
    out: list[int] = []
    for row in parents:
        told = [int(parent) for parent in row if parent >= 0]
        out += [len(told) >> 1, len(told) & 1]
        for parent in told:
            out += [parent >> shift & 1 for shift in range(index_bits - 1, -1, -1)]
    return np.packbits(np.array(out, np.uint8)).tobytes()


def _unpack_parents(blob: bytes, place: int, width: int) -> tuple[Ints, int]:
    index_bits = max(1, (width - 1).bit_length())
    most = -(-width * (2 + MOST_PARENTS * index_bits) // 8)
    stream = np.unpackbits(np.frombuffer(blob[place : place + most], np.uint8)).tolist()
    parents = np.full((width, MOST_PARENTS), -1, np.int64)
    at = 0
    for row in parents:
        if at + 2 > len(stream):
            raise ValueError("the table of columns is cut short")
        count = 2 * stream[at] + stream[at + 1]
        at += 2
        if at + count * index_bits > len(stream):
            raise ValueError("the table of columns is cut short")
        for number in range(count):
            index = int("".join(map(str, stream[at : at + index_bits])), 2)
            if index >= width:
                raise ValueError("the table of columns names a column that is not there")
            row[number] = index
            at += index_bits
    return parents, place + -(-at // 8)


def _levels(parents: Ints) -> list[Ints]:
    """Columns by the longest way to one without parents; those of one level do not depend on each other."""
    depth = np.where(parents[:, 0] < 0, 0, -1)
    while (depth < 0).any():
        above = np.where(parents < 0, 0, depth[parents])
        ready = (depth < 0) & (above >= 0).all(1)
        if not ready.any():
            raise ValueError("the table of columns goes round in a circle")
        depth[ready] = above[ready].max(1) + 1
    order = np.argsort(depth, kind="stable")
    return np.split(order, np.cumsum(np.bincount(depth))[:-1])


# ------------------------------------------------------------ the chances


def _feature(values: Codes, bits: int) -> Ints:
    """What a child is told of its parent: the bit; or none, faint, strong, full."""
    v = values.astype(np.int64)
    if bits == 1:
        return v
    top = (1 << bits) - 1
    found: Ints = (v > 0).astype(np.int64) + (v > top // 2) + (v == top)
    return found


class _Counts:
    """How often each bit was 1 in each context. Node = own higher bits with a leading 1 (a binary tree)."""

    def __init__(self, parents: Ints, bits: int, deep: int) -> None:
        self.parents, self.bits, self.lean = parents, bits, LEAN[bits]
        self.fan = 1 if bits == 1 else 2  # bits of a parent's feature
        self.nodes = 1 << deep  # nodes told apart per column; those below are pooled over all columns
        width = len(parents)
        # ones << 32 | zeros, so that both are fetched at once
        self.tables = [
            np.zeros((width << (self.fan * k)) * self.nodes, np.int64) for k in range(MOST_PARENTS + 1)
        ]
        self.pooled = np.zeros((1 << bits, 2), np.int64)
        self.has = [parents[:, k] >= 0 for k in range(MOST_PARENTS)]

    def contexts(self, values: Codes, columns: Ints) -> list[Ints]:
        """For k = 0..3: [rows, columns], which row of table k each cell looks at."""
        found = [np.broadcast_to(columns, (len(values), len(columns)))]
        for k in range(MOST_PARENTS):
            told = _feature(values[:, np.maximum(self.parents[columns, k], 0)], self.bits)
            found.append(found[-1] << self.fan | told)
        return found

    def chances(self, contexts: list[Ints], node: Ints, columns: Ints, local: bool) -> Ints:
        """int64 [rows, columns] in 1..2**14 - 1: the chance that the next bit is 1."""
        zeros, ones = self.pooled[node, 0], self.pooled[node, 1]
        p = ((ones << 16) + (1 << 15)) // (zeros + ones + 1)
        if local:
            for k in range(MOST_PARENTS + 1):
                use = np.ones(len(columns), np.bool_) if k == 0 else self.has[k - 1][columns]
                if not use.any():
                    break
                seen = self.tables[k].take(contexts[k] * self.nodes + node)
                ones, zeros = seen >> 32, seen & 0xFFFFFFFF
                longer = ((ones << 16) + self.lean * p) // (ones + zeros + self.lean)
                p = longer if use.all() else np.where(use, longer, p)
        found: Ints = np.clip(p >> (16 - BITS), 1, ONE - 1)
        return found

    def learn(self, values: Codes) -> None:
        """Counts the rows that were just coded."""
        columns = np.arange(values.shape[1])
        contexts = self.contexts(values, columns)
        whole = values.astype(np.int64)
        for plane in range(self.bits):
            node = (1 << plane) | (whole >> (self.bits - plane))
            bit = whole >> (self.bits - 1 - plane) & 1
            self.pooled += np.bincount((node << 1 | bit).ravel(), minlength=2 << self.bits).reshape(-1, 2)
            if 1 << plane < self.nodes:
                for table, context in zip(self.tables, contexts, strict=True):
                    flat = (context * self.nodes + node).ravel()
                    np.add.at(table, flat, np.where(bit == 1, 1 << 32, 1).ravel())


def _walk(coder: Encoder | Decoder, values: Codes, parents: Ints, bits: int) -> None:
    """Codes `values`, or fills them: chunks of rows that double, levels of columns, bits from the top."""
    deep = min(bits, 4)
    counts = _Counts(parents, bits, deep)
    levels = _levels(parents)
    encoding = isinstance(coder, Encoder)
    begin, end = 0, 2
    while begin < len(values):
        rows = values[begin:end]
        for columns in levels:
            contexts = counts.contexts(rows, columns)
            truth = rows[:, columns].astype(np.int64)
            node = np.ones(truth.shape, np.int64)
            for plane in range(bits):
                chance = counts.chances(contexts, node, columns, plane < deep)
                told = (truth >> (bits - 1 - plane) & 1).ravel() if encoding else np.empty(0, np.int64)
                node = node << 1 | coder.code(chance.ravel(), told).reshape(node.shape)
            if not encoding:
                rows[:, columns] = node - (1 << bits)
        counts.learn(rows)
        begin, end = end, min(len(values), end + max(2, end // 2))
