"""JSON-RPC requests over a transport: ids, progress, cancellation, acknowledgement.

The schema of methods and fields is kernel/rpc in Go; golden messages beside it are
read by both test suites. A call ends in exactly one final response, which is
acknowledged when it arrives. After a cut the client asks again for its open ids.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from . import _launch
from ._client import CommTransport, Receiver, Transport
from ._errors import KernelGoneError, LlamaError, ProtocolError, from_rpc

__all__ = [
    "GAP",
    "Call",
    "Response",
    "Rpc",
    "check_tensor",
    "connect",
    "connected",
    "describe_tensor",
]

MAX_BUFFER = 64 << 20

_PROBE_SECONDS = 5.0  # in which a kernel answers a client that has come back
_TICK = 0.1  # seconds between looks for a signal while waiting

Progress = Callable[[Mapping[str, Any]], None]

# Stands among a call's progress where a cut connection may have swallowed some.
GAP: Mapping[str, Any] = {}


@dataclass
class Response:
    """A result and its buffers. ``interrupted``: the user asked to stop meanwhile."""

    result: Mapping[str, Any]
    buffers: Sequence[memoryview] = ()
    interrupted: bool = False


@dataclass
class Call:
    """A request that is under way."""

    rpc: Rpc
    id: int
    method: str
    _inbox: deque[Mapping[str, Any] | Response | BaseException] = field(default_factory=deque)
    _wake: queue.SimpleQueue[None] = field(default_factory=queue.SimpleQueue)
    cancelled: bool = False

    def cancel(self) -> None:
        """Ask the kernel to stop; the final response still comes."""
        self.cancelled = True
        self.rpc.notify("$/cancelRequest", {"id": self.id}, channel="control")

    def events(self) -> Iterator[Mapping[str, Any] | Response]:
        """Yield progress as it comes and then the final response.

        The first KeyboardInterrupt cancels and goes on waiting; the second one
        abandons the call. So does leaving the iteration early.
        """
        done = False
        try:
            while not done:
                # A signal may strike between a call's return and the assignment of its
                # value. So what has come is looked at first and taken out afterwards.
                try:
                    event = self._first()
                except KeyboardInterrupt:
                    if self.cancelled:
                        raise
                    self.cancel()
                    continue
                self._inbox.popleft()
                if isinstance(event, BaseException):
                    done = True
                    raise event
                if isinstance(event, Response):
                    done = True
                    event.interrupted = self.cancelled
                yield event
        finally:
            if not done:
                self.rpc.abandon(self)

    def _first(self) -> Mapping[str, Any] | Response | BaseException:
        """Wait for an event and return it, still in the inbox.

        A function of its own, so that a signal is caught wherever in it it strikes;
        a wake-up that is lost so is made good by the next tick.
        """
        while not self._inbox:
            with contextlib.suppress(queue.Empty):
                self._wake.get(timeout=_TICK)
        return self._inbox[0]

    def put(self, event: Mapping[str, Any] | Response | BaseException) -> None:
        """Add an event; on the I/O thread."""
        self._inbox.append(event)
        self._wake.put(None)

    def wait(self, on_progress: Progress | None = None) -> Response:
        """Return the final response, telling progress on the way."""
        for event in self.events():
            if isinstance(event, Response):
                return event
            if on_progress is not None and event is not GAP:
                try:
                    on_progress(event)
                except KeyboardInterrupt:  # the signal may come while a bar is drawn
                    if self.cancelled:
                        raise
                    self.cancel()
        raise AssertionError("a call ended without a response")


class Rpc:
    """The client's end of one comm."""

    def __init__(self, dial: Callable[[Receiver], Transport]) -> None:
        self.pid = os.getpid()
        self.dead: LlamaError | None = None
        self._ids = itertools.count(1)
        self._calls: dict[int, Call] = {}
        self._transport = dial(self)

    @property
    def usable(self) -> bool:
        """Whether requests can be made: neither dead nor another process's."""
        return self.dead is None and self.pid == os.getpid()

    def start(self, method: str, params: Mapping[str, Any], buffers: Sequence[Any] = ()) -> Call:
        """Send a request and return at once."""
        if self.dead is not None:
            raise _again(self.dead)
        if self.pid != os.getpid():
            raise KernelGoneError(
                "This handle belongs to the process that was forked from.",
                hint="make the object in the process that uses it",
            )
        call = Call(self, next(self._ids), method)
        self._calls[call.id] = call
        message = {"jsonrpc": "2.0", "id": call.id, "method": method, "params": params}
        self._transport.send("shell", message, buffers)
        if self.dead is not None:  # it died between the check and the entry in the table
            call.put(_again(self.dead))
        return call

    def call(
        self,
        method: str,
        params: Mapping[str, Any],
        buffers: Sequence[Any] = (),
        on_progress: Progress | None = None,
    ) -> Response:
        """Make a request and wait; a KeyboardInterrupt meanwhile is raised at its end."""
        response = self.start(method, params, buffers).wait(on_progress)
        if response.interrupted:
            raise KeyboardInterrupt
        return response

    def notify(self, method: str, params: Mapping[str, Any], channel: str = "shell") -> None:
        """Send a notification; harmless when the connection is gone."""
        if self.usable:
            self._transport.send(
                "control" if channel == "control" else "shell",
                {"jsonrpc": "2.0", "method": method, "params": params},
            )

    def forget(self, method: str, params: Mapping[str, Any]) -> None:
        """Send a request whose answer nobody waits for. Finalizers may call it."""
        if self.usable:
            message = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
            self._transport.send("shell", message)

    def abandon(self, call: Call) -> None:
        """Stop waiting for a call for good."""
        if self._calls.pop(call.id, None) is not None and not call.cancelled:
            call.cancel()

    def close(self) -> None:
        """Let go of all that this client holds in the kernel."""
        if self.pid == os.getpid():
            self._transport.close()

    # Receiver: on the I/O thread.

    def received(self, data: Mapping[str, Any], buffers: Sequence[memoryview]) -> None:
        """Route a message to the call that it belongs to."""
        if data.get("method") == "$/progress":
            params = data.get("params") or {}
            call = self._calls.get(params.get("id", 0))
            if call is not None:
                call.put(params)
            return
        ident = data.get("id")
        if not isinstance(ident, int) or ("result" not in data and "error" not in data):
            return
        self._transport.send(
            "shell", {"jsonrpc": "2.0", "method": "$/ack", "params": {"ids": [ident]}}
        )
        call = self._calls.pop(ident, None)
        if call is None:
            return  # abandoned, forgotten, or sent twice around a cut
        error = data.get("error")
        if error is not None:
            call.put(from_rpc(error))
        else:
            call.put(Response(data["result"], buffers))

    def resumed(self) -> None:
        """Ask again for what was open when the connection was cut."""
        calls = dict(self._calls)
        for call in calls.values():
            call.put(GAP)
        if calls:
            self.notify("$/resume", {"ids": sorted(calls)})
        # A kernel whose lease for this client has ended knows nothing of the comm, and
        # says nothing: Jupyter's protocol has no answer to that.
        probe = self.start("stats", {})
        timer = threading.Timer(_PROBE_SECONDS, self._missed, (probe,))
        timer.daemon = True
        timer.start()

    def _missed(self, probe: Call) -> None:
        if probe.id in self._calls:
            self.lost(
                KernelGoneError(
                    "The kernel has let go of this client, whose connection was cut for too long.",
                    hint="make the model again (Llama.build): it is loaded still",
                )
            )

    def lost(self, error: LlamaError) -> None:
        """End every call with the error."""
        self.dead = error
        while self._calls:
            _, call = self._calls.popitem()
            call.put(_again(error))


def _again(error: LlamaError) -> LlamaError:
    """Return a fresh copy, so that tracebacks of several callers do not mix."""
    return type(error)(str(error), hint=error.hint)


_current: Rpc | None = None
_current_lock = threading.Lock()


def connected() -> Rpc | None:
    """Return this process's connection, or None when there is none that works."""
    return _current if _current is not None and _current.usable else None


def connect() -> Rpc:
    """Return this process's connection to the resident, made when needed."""
    global _current
    with _current_lock:
        if _current is None or not _current.usable:
            connection_file = _launch.find_or_start()
            try:
                _current = Rpc(partial(CommTransport, connection_file))
            except KernelGoneError:
                if os.environ.get("LLAMA_GO_CONNECTION"):
                    raise
                # It may have ended, idle, while we came.
                _current = Rpc(partial(CommTransport, _launch.find_or_start()))
        return _current


def disconnect() -> None:
    """Close this process's connection, if there is one."""
    global _current
    current, _current = _current, None
    if current is not None:
        current.close()


def _after_fork() -> None:
    global _current, _current_lock
    _current, _current_lock = None, threading.Lock()


atexit.register(disconnect)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def describe_tensor(data: Any, dtype: str, shape: Sequence[int], index: int = 0) -> dict[str, Any]:
    """Describe a buffer in the signed JSON of its message (rpc.Tensor)."""
    from ._crc32c import crc32c

    view = memoryview(data).cast("B")
    return {
        "buffer": index,
        "dtype": dtype,
        "shape": [int(n) for n in shape],
        "bytes": len(view),
        "crc32c": crc32c(view),
    }


def check_tensor(tensor: Mapping[str, Any], buffers: Sequence[memoryview]) -> memoryview:
    """Return the buffer that a tensor describes, after checking size and CRC."""
    from ._crc32c import crc32c

    index = tensor["buffer"]
    if not 0 <= index < len(buffers):
        raise ProtocolError(f"A message names buffer {index} and has {len(buffers)}.")
    view = memoryview(buffers[index]).cast("B")
    if len(view) != tensor["bytes"]:
        raise ProtocolError(f"A buffer has {len(view)} bytes, its message says {tensor['bytes']}.")
    if crc32c(view) != tensor["crc32c"]:
        raise ProtocolError("A buffer was damaged on its way: its CRC-32C differs.")
    return view
