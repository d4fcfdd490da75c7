"""Progress of long work: tqdm's bar, in a notebook or a terminal."""

from __future__ import annotations

import sys
import time
import warnings
from types import TracebackType
from typing import Any

_DELAY = 0.4  # seconds before a bar appears: quick work shows none


class Bar:
    """A bar over bytes that appears only when the work takes a while.

    A notebook without widgets, or a terminal, gets a line of text instead.
    """

    def __init__(self, text: str, *, shown: bool = True) -> None:
        self._text = text
        self._shown = shown
        self._start = time.monotonic()
        self._bar: Any = None

    def update(self, done: int, total: int) -> None:
        """Tell how many bytes of how many are done."""
        if not self._shown or time.monotonic() - self._start < _DELAY:
            return  # tqdm is not even imported: that alone takes a tenth of a second
        if self._bar is None:
            self._bar = _make(self._text, total)
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def _make(text: str, total: int) -> Any:
    options: dict[str, Any] = {
        "desc": text, "total": total, "unit": "B", "unit_scale": True, "unit_divisor": 1024,
        "leave": False, "mininterval": 0.1, "dynamic_ncols": True,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm.auto's advice to install ipywidgets
        from tqdm import tqdm
        from tqdm.auto import tqdm as auto

        try:
            return auto(**options)
        except ImportError:  # a notebook without widgets
            return tqdm(**options, file=sys.stderr)
