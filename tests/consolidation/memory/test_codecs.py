"""What is packed comes back; what is lossy is off by half a step at most; hostile codes are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from consolidation.errors import NocturneInputError
from consolidation.memory import codecs
from consolidation.memory.codecs import CODECS, Packed, smallest_label_dtype
from consolidation.memory.columns import decode_columns, encode_columns


def correlated(rows: int, columns: int, bits: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Columns that follow a few hidden ones, in no order."""
    rng = np.random.default_rng(seed)
    hidden = rng.random((rows, 6))
    chosen = rng.integers(0, 6, columns)
    noise = rng.random((rows, columns)) * 0.15
    values = np.clip((hidden[:, chosen] * 1.4 - 0.5 + noise), 0, 1) * ((1 << bits) - 1)
    return np.rint(values).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([1, 2, 4, 8]).flatmap(
        lambda bits: st.tuples(
            st.just(bits),
            hnp.arrays(
                np.uint8,
                st.tuples(st.integers(1, 40), st.integers(1, 12)),
                elements=st.integers(0, (1 << bits) - 1),
                fill=st.just(0),
            ),
        )
    )
)
def test_column_codes_are_exact(case: tuple[int, Any]) -> None:
    bits, values = case
    code = encode_columns(values, bits)
    assert np.array_equal(decode_columns(code, values.shape[0], values.shape[1], bits), values)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_large_set_takes_less_than_its_columns_alone_would(bits: int) -> None:
    """The entropy of each column on its own is what a code without parents could reach at best."""
    values = correlated(400, 60, bits)
    code = encode_columns(values, bits)
    assert np.array_equal(decode_columns(code, 400, 60, bits), values)
    alone = 0.0
    for column in values.T:
        share = np.unique(column, return_counts=True)[1] / 400
        alone -= 400 * float((share * np.log2(share)).sum()) / 8
    assert len(code) < {1: 0.75, 2: 0.75, 4: 0.85, 8: 1.0}[bits] * alone


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_changed_code_is_refused_or_gives_numbers_of_the_right_shape(data: st.DataObject) -> None:
    values = correlated(30, 20, 2)
    code = bytearray(encode_columns(values, 2))
    for _ in range(data.draw(st.integers(1, 4))):
        code[data.draw(st.integers(0, len(code) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(code)))
    try:
        found = decode_columns(bytes(code[:cut]), 30, 20, 2)
    except ValueError:
        return
    assert found.shape == (30, 20)


def test_parents_in_a_circle_are_refused() -> None:
    # 2 columns, both moving, each the other's only parent: 01 1, 01 0
    code = b"\0\0" + bytes([0b01101000]) + bytes(40)
    with pytest.raises(ValueError, match="circle"):
        decode_columns(code, 4, 2, 1)


@pytest.mark.parametrize("name", sorted(CODECS))
@pytest.mark.parametrize("dtype", ["u1", "<i2", "<f4"])
def test_every_codec_gives_back_its_numbers_within_half_a_step(name: str, dtype: str) -> None:
    x = correlated(120, 24, 8).astype(dtype).reshape(120, 4, 6)
    if dtype == "<f4":
        x = x / 7 - 3
    if name == "columns" and dtype != "u1":
        with pytest.raises(NocturneInputError, match="unsigned 8-bit"):
            Packed.of(x, name)
        return
    packed = Packed.of(x, name)
    back = packed[:]
    assert (back.dtype, back.shape) == (x.dtype, x.shape)
    if packed.codec.lossless:
        assert np.array_equal(back, x)
    else:
        step = (float(x.max()) - float(x.min())) / ((1 << packed.codec.bits) - 1)  # type: ignore[attr-defined]
        assert np.abs(back.astype(float) - x).max() <= step / 2 + (0.51 if dtype != "<f4" else 1e-4)
    rows = np.array([5, 119, 5, 0])
    assert np.array_equal(packed[rows], back[rows])
    assert np.array_equal(
        Packed.of(back, name, packed.table.tobytes())[:], back
    )  # packing again moves nothing


def test_a_set_too_large_to_keep_is_read_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    x = correlated(50, 16, 8)
    monkeypatch.setattr(codecs, "BLOCK_CELLS", 16 * 20)
    monkeypatch.setattr(codecs, "WHOLE_BYTES", 100)
    packed = Packed.of(x, "columns")
    assert (packed.block, len(packed.offsets)) == (17, 4)
    rows = np.array([49, 0, 20, 16, 17, 33, 34])
    assert np.array_equal(packed[rows], x[rows])
    assert np.array_equal(packed[10:40], x[10:40])


@pytest.mark.parametrize("low_high", [(0.0, 0.0), (-1e38, 1e38), (5.0, 5.0)])
def test_ranges_at_the_edges(low_high: tuple[float, float]) -> None:
    x = np.array([low_high, low_high[::-1]], np.float32)
    for name in ("q1", "q2", "q4"):
        assert np.array_equal(Packed.of(x, name)[:], x)


def test_numbers_that_no_range_holds_are_refused() -> None:
    with pytest.raises(NocturneInputError) as caught:
        Packed.of(np.array([[np.nan, 1.0]], np.float32), "q4")
    assert caught.value.code == "records.non_finite"
    with pytest.raises(NocturneInputError, match="known: raw, deflate, columns, q4, q2, q1"):
        Packed.of(np.zeros((1, 2), np.uint8), "zip")
    with pytest.raises(NocturneInputError, match="at most 4,096 numbers"):
        Packed.of(np.zeros((1, 5000), np.uint8), "q1")


def test_a_record_that_unpacks_to_more_than_its_size_is_refused() -> None:
    """A bomb: a megabyte of zeros where 16 bytes belong."""
    bomb = Packed.of(np.zeros((1, 1 << 20), np.uint8), "deflate")
    small = Packed(
        "deflate", (1, 16), np.dtype("u1"), 1, data=bomb.data, offsets=bomb.offsets, table=bomb.table
    )
    with pytest.raises(ValueError, match="to its size"):
        small[:]


def test_labels_take_the_narrowest_type() -> None:
    assert [smallest_label_dtype(n).itemsize for n in (1, 256, 257, 65_536, 65_537)] == [1, 1, 2, 2, 4]


@pytest.mark.parametrize("name", sorted(CODECS))
def test_what_is_given_back_can_be_told_without_packing(name: str) -> None:
    x = np.random.default_rng(4).integers(0, 256, (30, 12)).astype(np.uint8)
    packed = Packed.of(x, name)
    np.testing.assert_array_equal(packed.codec.given_back(x, packed.table.tobytes()), packed[:])


def test_a_set_cut_into_needlessly_many_blocks_is_refused() -> None:
    """Each block costs tables of its own, so a small file could ask for hours."""
    x = np.zeros((64, 8), np.uint8)
    x[1:] = np.random.default_rng(0).integers(0, 9, (63, 8))
    codes = [Packed.of(x[row : row + 1], "columns").data for row in range(64)]
    ends = np.cumsum([0, *(len(code) for code in codes)]).astype("<u4")
    with pytest.raises(ValueError, match="blocks"):
        Packed(
            "columns", x.shape, x.dtype, 1, data=np.concatenate(codes), offsets=ends,
            table=np.zeros(0, np.uint8),
        )  # fmt: skip
    for rows in (1, 2, 63, 64, 4095, 4096, 4097, 9000):
        whole = Packed.of(np.resize(x, (rows, 8)), "columns")
        again = Packed(
            "columns", whole.shape, whole.dtype, whole.block, data=whole.data, offsets=whole.offsets,
            table=whole.table,
        )  # fmt: skip
        assert np.array_equal(again[rows // 2 :], np.resize(x, (rows, 8))[rows // 2 :])
