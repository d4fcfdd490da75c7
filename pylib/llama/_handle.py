"""Handles on what the kernel holds for this client: models and sessions."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from . import _rpc
from ._errors import KernelGoneError

__all__ = ["ModelHandle", "SessionHandle"]


class ModelHandle:
    """A model that this client has open; closed when the object dies."""

    def __init__(self, method: str, params: Mapping[str, Any]) -> None:
        self._method = method
        self._params = params
        self._lock = threading.Lock()
        self._attach(None)

    @classmethod
    def open(
        cls, params: Mapping[str, Any], on_progress: Callable[[int, int], None] | None = None
    ) -> ModelHandle:
        """Load a model from files, or attach to the loaded one (rpc.OpenParams)."""
        handle = cls.__new__(cls)
        handle._method, handle._params = "model.open", params
        handle._lock = threading.Lock()
        handle._attach(on_progress)
        return handle

    @classmethod
    def new(cls, params: Mapping[str, Any]) -> ModelHandle:
        """Make a private model without a file (rpc.NewParams)."""
        return cls("model.new", params)

    def _attach(self, on_progress: Callable[[int, int], None] | None) -> None:
        rpc = _rpc.connect()

        def progress(p: Mapping[str, Any]) -> None:
            if on_progress is not None:
                on_progress(int(p.get("bytes", 0)), int(p.get("total", 0)))

        response = rpc.start(self._method, self._params).wait(progress)
        result = response.result
        self.rpc = rpc
        self.id: str = result["model"]
        self.config: Mapping[str, Any] = result.get("config") or self._params["config"]
        self.info: Mapping[str, Any] = result["info"]
        self._finalizer = weakref.finalize(self, rpc.forget, "model.close", {"model": self.id})
        self._finalizer.atexit = False
        self._idle: list[SessionHandle] = []
        if response.interrupted:
            self.close()
            raise KeyboardInterrupt

    def call(
        self, method: str, params: Mapping[str, Any], buffers: Sequence[Any] = ()
    ) -> _rpc.Response:
        """Make a request about this model."""
        self.ensure()
        return self.rpc.call(method, {"model": self.id, **params}, buffers)

    def ensure(self) -> None:
        """Check that the handle can be used; after a fork attach the child to the model."""
        if not self._finalizer.alive:
            raise KernelGoneError("This model was closed.", hint="build it again")
        if self.rpc.pid != os.getpid() and self._method == "model.open":
            self._finalizer.detach()
            self._lock = threading.Lock()
            self._attach(None)

    def open_session(self, max_batch_size: int, max_seq_len: int) -> SessionHandle:
        """Open a timeline of rows; it is closed when the object dies."""
        params = {"max_batch_size": max_batch_size, "max_seq_len": max_seq_len}
        return SessionHandle(self, self.call("session.open", params).result)

    @contextmanager
    def session(self, max_batch_size: int, max_seq_len: int) -> Iterator[SessionHandle]:
        """Lend a session that nobody uses: one caller always gets the same one.

        So its prompts continue from what it holds, and concurrent callers never
        share a timeline.
        """
        self.ensure()
        with self._lock:
            session = self._idle.pop() if self._idle else None
        if session is None:
            session = self.open_session(max_batch_size, max_seq_len)
        yield session  # after an exception the session is dropped: its state is not known
        with self._lock:
            self._idle.append(session)

    def close(self) -> None:
        """Let go of the model. Idempotent."""
        self._idle = []
        self._finalizer()


class SessionHandle:
    """A timeline of rows in the kernel."""

    def __init__(self, model: ModelHandle, result: Mapping[str, Any]) -> None:
        self.rpc = model.rpc
        self.id: str = result["session"]
        self.max_batch_size: int = result["max_batch_size"]
        self.max_seq_len: int = result["max_seq_len"]
        finalizer = weakref.finalize(self, self.rpc.forget, "session.close", {"session": self.id})
        finalizer.atexit = False

    def call(self, method: str, params: Mapping[str, Any]) -> _rpc.Response:
        """Make a request about this session."""
        return self.rpc.call(method, {"session": self.id, **params})

    def start(self, method: str, params: Mapping[str, Any]) -> _rpc.Call:
        """Start a request about this session."""
        return self.rpc.start(method, {"session": self.id, **params})
