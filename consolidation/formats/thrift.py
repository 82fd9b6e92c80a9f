"""Thrift's compact protocol, read with bounds: structs as {field id: value}. For the footers of Parquet.

The protocol: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from typing import Any, Final

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_DEEPEST: Final = 24


class Damaged(Exception):
    """The bytes are no struct, or one with more than may be read; the text completes "..., it"."""


class CompactReader:
    """Reads one struct from bytes.

    Args:
        data: the bytes; nothing outside of them is touched.
        most: how many values are read before it is given up.
    """

    def __init__(self, data: bytes, *, most: int) -> None:
        self._data, self._at, self._left = data, 0, most

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """{field id: int, bytes, float, bool, list or dict}. Raises Damaged."""
        if depth > _DEEPEST:
            raise Damaged("is nested too deeply")
        found: dict[int, Any] = {}
        number = 0
        while (head := self._byte()) != 0:
            step, kind = head >> 4, head & 15
            number = number + step if step else self._zigzag()
            found[number] = kind == _TRUE if kind in {_TRUE, _FALSE} else self._value(kind, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise Damaged("holds too many values")
        if kind in {_I16, _I32, _I64}:
            return self._zigzag()
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in {_LIST, _SET}:
            head = self._byte()
            size = head >> 4 if head >> 4 < 15 else self._varint()
            self._afford(size)
            element = head & 15
            if element in {_TRUE, _FALSE}:
                return [byte == 1 for byte in self._bytes(size)]
            return [self._value(element, depth + 1) for _ in range(size)]
        if kind == _MAP:
            size = self._varint()
            self._afford(size)
            kinds = self._byte() if size else 0
            return [
                (self._value(kinds >> 4, depth + 1), self._value(kinds & 15, depth + 1)) for _ in range(size)
            ]
        if kind in {_BYTE, _TRUE, _FALSE}:
            return self._byte()
        if kind == _DOUBLE:
            return self._bytes(8)
        raise Damaged("holds a value of an unknown kind")

    def _afford(self, count: int) -> None:
        # Every element takes a byte at least.
        if count > min(self._left, len(self._data) - self._at):
            raise Damaged("claims a list that is longer than itself")

    def _byte(self) -> int:
        if self._at >= len(self._data):
            raise Damaged("ends in the middle")
        self._at += 1
        return self._data[self._at - 1]

    def _bytes(self, count: int) -> bytes:
        if count > len(self._data) - self._at:
            raise Damaged("claims a text that is longer than itself")
        self._at += count
        return self._data[self._at - count : self._at]

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise Damaged("holds a number of more than 64 bits")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
