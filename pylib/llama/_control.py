"""Ending the resident kernel."""

from __future__ import annotations

import time

from . import _launch, _rpc

__all__ = ["shutdown"]

_SECONDS = 5.0  # that a resident may take to end


def shutdown(force: bool = False) -> None:
    """End the resident kernel; without one there is nothing to do.

    Refused, with a LlamaError, while other clients are attached, unless ``force``.
    Handles of this process are dead afterwards; the next ``build`` starts anew.
    """
    rpc = _rpc.connected()
    if rpc is not None:
        rpc.call("shutdown", {"force": force})
        # Until it has gone, the next build might still find it.
        deadline = time.monotonic() + _SECONDS
        while rpc.dead is None and time.monotonic() < deadline:
            time.sleep(0.01)
        _rpc.disconnect()
    else:
        _launch.run("stop", *(["--force"] if force else []), timeout=30)
