from __future__ import annotations

import numpy as np
import pytest

from llama._crc32c import crc32c


def slow(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize(  # RFC 3720, B.4
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_published_values(data: bytes, crc: int) -> None:
    assert crc32c(data) == crc


@pytest.mark.parametrize("size", [1, 63, 16383, 16384, 16385, 16447, 100_003, 131_072])
def test_lanes_equal_the_definition(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    assert crc32c(data) == slow(data)


def test_any_buffer() -> None:
    array = np.arange(10_000, dtype=np.float32)
    assert crc32c(array) == crc32c(array.tobytes()) == crc32c(memoryview(array))
