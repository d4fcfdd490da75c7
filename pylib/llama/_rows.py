"""Rows of token ids, from lists, numpy arrays or torch tensors."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any

from ._errors import RequestError, TokenIndexError

__all__ = ["check_ids", "to_rows"]


def to_rows(tokens: Any, name: str) -> list[list[int]]:
    """Return rows of Python ints; an empty batch or row is a ValueError.

    >>> to_rows(((1, 2), range(3)), "prompt_tokens")
    [[1, 2], [0, 1, 2]]
    """
    rows = _listed(tokens, name)
    if not rows:
        raise RequestError(f"{name} is an empty batch; expected at least one row.")
    result = []
    for i, row in enumerate(rows):
        if not isinstance(row, (list, tuple)) and not hasattr(row, "tolist"):
            if isinstance(row, (str, bytes)) or not isinstance(row, Iterable):
                raise RequestError(
                    f"{name} must be rows of token ids, got {row!r} as row {i}.",
                    hint=f"one row is {name}=[[...]]; text goes through tokenizer.encode",
                )
            row = list(row)
        ids = _listed(row, f"{name}[{i}]")
        if not ids:
            raise RequestError(f"{name}[{i}] is an empty row; expected at least one token.")
        try:
            result.append([operator.index(t) for t in ids])
        except TypeError:
            bad = next(t for t in ids if not hasattr(t, "__index__"))
            raise RequestError(
                f"{name}[{i}] holds {bad!r} ({type(bad).__name__}); token ids are integers."
            ) from None
    return result


def check_ids(rows: Sequence[Sequence[int]], vocab_size: int) -> None:
    """Raise IndexError for an id outside the vocabulary, with torch's text."""
    for i, row in enumerate(rows):
        low, high = min(row), max(row)
        if low < 0 or high >= vocab_size:
            bad = low if low < 0 else high
            raise TokenIndexError(
                "index out of range in self",
                hint=f"row {i} holds id {bad}; the vocabulary has ids 0 to {vocab_size - 1}",
            )


def _listed(value: Any, name: str) -> Sequence[Any]:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise RequestError(f"{name} must be rows of token ids, got {value!r}.")
    return value if isinstance(value, (list, tuple)) else list(value)
