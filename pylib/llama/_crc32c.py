"""CRC-32C (Castagnoli) of buffers, fast enough for weights.

Buffers of comm messages are not covered by the signature, so each carries its
CRC in the signed JSON. Python's own ``zlib.crc32`` is another polynomial. Here a
long buffer is cut into equal lanes, numpy advances all lanes four bytes a step
through two 16-bit tables, and the lanes' sums are then joined pairwise.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_POLY = 0x82F63B78
_LANES = 4096
_SMALL = 1 << 14  # below this many bytes per call lanes do not pay


@cache
def _byte_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (_POLY if value & 1 else 0)
        table.append(value)
    return tuple(table)


@cache
def _word_tables() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return the tables (65536,) of the low and the high half of a 32-bit word."""
    bytes_ = np.array(_byte_table(), np.uint32)
    value = np.arange(65536, dtype=np.uint32)
    for _ in range(2):
        value = bytes_[value & 0xFF] ^ (value >> 8)
    high = value  # two zero-extended bytes advanced by two bytes
    low = high.copy()
    for _ in range(2):
        low = bytes_[low & 0xFF] ^ (low >> 8)
    return low, high


def _update(crc: int, data: Any) -> int:
    table = _byte_table()
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc


def _matrix_square(matrix: list[int]) -> list[int]:
    return [_matrix_apply(matrix, column) for column in matrix]


def _matrix_apply(matrix: list[int], vector: int) -> int:
    total, bit = 0, 0
    while vector:
        if vector & 1:
            total ^= matrix[bit]
        vector >>= 1
        bit += 1
    return total


def _zeros_matrix(count: int) -> list[int]:
    """Return the GF(2) matrix that advances a CRC over count zero bytes."""
    step = [_update(1 << bit, b"\0") for bit in range(32)]
    result = [1 << bit for bit in range(32)]
    while count:
        if count & 1:
            result = [_matrix_apply(step, column) for column in result]
        step = _matrix_square(step)
        count >>= 1
    return result


def _advance(values: NDArray[np.uint32], matrix: list[int]) -> NDArray[np.uint32]:
    """Apply a matrix to every value."""
    total = np.zeros_like(values)
    for bit, column in enumerate(matrix):
        total ^= np.where((values >> np.uint32(bit)) & np.uint32(1), np.uint32(column), 0).astype(
            np.uint32
        )
    return total


def crc32c(data: Any) -> int:
    """Return the CRC-32C of a bytes-like object.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    view = memoryview(data).cast("B")
    crc = 0xFFFFFFFF
    done = 0
    if len(view) >= _SMALL:
        lanes = min(_LANES, 1 << ((len(view) // 64).bit_length() - 1))
        words = len(view) // 4 // lanes
        done = lanes * words * 4
        block = np.frombuffer(view[:done], np.dtype("<u4")).reshape(lanes, words)
        low, high = _word_tables()
        sums = np.zeros(lanes, np.uint32)
        sums[0] = crc
        for column in range(words):
            sums ^= block[:, column]
            sums = low[sums & 0xFFFF] ^ high[sums >> 16]
        matrix = _zeros_matrix(words * 4)
        while len(sums) > 1:
            sums = _advance(sums[0::2], matrix) ^ sums[1::2]
            matrix = _matrix_square(matrix)
        crc = int(sums[0])
    return _update(crc, view[done:]) ^ 0xFFFFFFFF
