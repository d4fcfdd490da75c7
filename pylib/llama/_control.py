"""Ending the resident kernel."""

from __future__ import annotations

from . import _launch, _rpc

__all__ = ["shutdown"]


def shutdown(force: bool = False) -> None:
    """End the resident kernel; without one there is nothing to do.

    Refused, with a LlamaError, while other clients are attached, unless ``force``.
    Handles of this process are dead afterwards; the next ``build`` starts anew.
    """
    rpc = _rpc.connected()
    if rpc is not None:
        rpc.call("shutdown", {"force": force})
        _rpc.disconnect()
    else:
        _launch.run("stop", *(["--force"] if force else []), timeout=30)
