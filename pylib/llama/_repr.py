"""How objects show themselves in a notebook: a small table, and plain text beside it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any


def size(count: float) -> str:
    """Return a number of bytes for people, as the Go side writes it.

    >>> size(98_362_432), size(512), size(13_476_831_232)
    ('98.4 MB', '512 B', '13.48 GB')
    """
    for unit, scale, digits in (("GB", 10**9, 2), ("MB", 10**6, 1), ("kB", 10**3, 1)):
        if count >= scale:
            return f"{count / scale:.{digits}f} {unit}"
    return f"{count:.0f} B"


def count(number: int) -> str:
    """Return a number of parameters for people.

    >>> count(134_515_008)
    '134.5 M'
    """
    for unit, scale in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if number >= scale:
            return f"{number / scale:.1f} {unit}"
    return str(number)


def stored_as(info: Mapping[str, Any]) -> str:
    """Return the type of a model's weights, and what they were quantized to.

    >>> stored_as({"dtype": "bfloat16", "quantize": "int8"})
    'bfloat16 as int8'
    """
    return f"{info['dtype']} as {info['quantize']}" if info["quantize"] else str(info["dtype"])


def short_path(path: str) -> str:
    """Return a path with the user's home folder written as ~.

    >>> short_path("/elsewhere/model.gguf")
    '/elsewhere/model.gguf'
    """
    try:
        return str(Path("~") / Path(path).relative_to(Path.home()))
    except (ValueError, RuntimeError):  # not below home; no home
        return path


def card(title: str, rows: Mapping[str, Any]) -> dict[str, str]:
    """Return a MIME bundle (text/html and text/plain) of a titled table."""
    width = max((len(name) for name in rows), default=0)
    plain = "\n".join([title, *(f"  {name:<{width}}  {value}" for name, value in rows.items())])
    cells = "".join(
        f'<tr><td style="text-align:left;color:gray">{escape(name)}</td>'
        f'<td style="text-align:left">{escape(str(value))}</td></tr>'
        for name, value in rows.items()
    )
    html = f"<div><b>{escape(title)}</b><table>{cells}</table></div>"
    return {"text/html": html, "text/plain": plain}
