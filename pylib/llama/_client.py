"""The connection to the resident kernel: one private thread owns all sockets.

``Transport`` is the seam: what ``_rpc`` needs of a connection, small enough to be
replaced in tests. ``CommTransport`` is the real one: a Jupyter comm (target
``llama``) over DEALER sockets on shell and control and a SUB socket on iopub,
subscribed to that comm alone. Nothing here waits on an event loop of the caller,
so it works the same in a script, a notebook cell and a coroutine.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any, Literal, Protocol

import zmq
from jupyter_client.session import Session
from zmq.utils.monitor import recv_monitor_message

from ._errors import KernelGoneError, LlamaError, ProtocolError, from_rpc
from ._version import __version__

__all__ = ["Channel", "CommTransport", "Receiver", "Transport"]

PROTOCOL = 1
TARGET = "llama"

_OPEN_SECONDS = 20.0  # welcome and hello of a resident that may still be starting
_LINGER_MS = 500
_PROBE_SECONDS = 0.05
_BATCH = 256  # iopub messages read before outgoing ones get a turn
_HELLO, _REFUSED = "$/hello", "$/refused"

Channel = Literal["shell", "control"]


class Receiver(Protocol):
    """Who is told, on the I/O thread, what a transport hears."""

    def received(self, data: Mapping[str, Any], buffers: Sequence[memoryview]) -> None:
        """Take one JSON-RPC message."""

    def resumed(self) -> None:
        """Learn that the connection was cut and is there again."""

    def lost(self, error: LlamaError) -> None:
        """Learn that the connection is gone for good."""


class Transport(Protocol):
    """A connection that carries JSON-RPC messages."""

    def send(self, channel: Channel, data: Mapping[str, Any], buffers: Sequence[Any] = ()) -> None:
        """Queue one message. Never blocks and takes no lock, so finalizers may call it."""

    def close(self) -> None:
        """Send what is queued and let go. Idempotent."""


class CommTransport:
    """A comm to the resident whose connection file is given.

    Raises KernelGoneError when nobody answers there, and ProtocolError when the
    kernel speaks another version.
    """

    def __init__(self, connection_file: Path, receiver: Receiver) -> None:
        self._info = _read_connection_file(connection_file)
        self._receiver = receiver
        self._comm_id = uuid.uuid4().hex
        self._outbox: deque[tuple[Channel, Mapping[str, Any], Sequence[Any]]] = deque()
        self._closing = False
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._opened: Future[Mapping[str, Any]] = Future()
        self._thread = threading.Thread(target=self._run, name="llama-go-io", daemon=True)
        self._thread.start()
        self.hello = self._wait_open()

    def send(self, channel: Channel, data: Mapping[str, Any], buffers: Sequence[Any] = ()) -> None:
        self._outbox.append((channel, data, buffers))
        self._wake()

    def close(self) -> None:
        self._closing = True
        self._wake()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=2.0)

    def _wake(self) -> None:
        try:
            self._wake_out.send(b"\0")
        except OSError:  # full: the thread is awake anyway; closed: it has ended
            pass

    def _wait_open(self) -> Mapping[str, Any]:
        try:
            while True:
                try:
                    return self._opened.result(timeout=0.2)
                except FutureTimeoutError:
                    if self._opened.done():
                        raise
        except BaseException:
            self.close()
            raise

    # Everything below runs on the I/O thread.

    def _run(self) -> None:
        error: LlamaError | None = None
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            if not _listening(self._info, "shell"):
                raise _gone("nobody listens where its connection file says")
            link = _Link(context, self._info, self._comm_id)
            try:
                self._serve(link)
            finally:
                link.close()
        except LlamaError as e:
            error = e
        except Exception as e:  # a bug must not leave callers waiting for ever
            error = _gone(f"the connection broke, {e!r}")
        finally:
            context.destroy(linger=_LINGER_MS)
            self._wake_in.close()
            self._wake_out.close()
        if error is None:
            error = KernelGoneError(
                "The connection to the kernel is closed.", hint="build the model again"
            )
        if not self._opened.done():
            self._opened.set_exception(error)
        self._receiver.lost(error)

    def _serve(self, link: _Link) -> None:
        poller = zmq.Poller()
        poller.register(self._wake_in, zmq.POLLIN)
        for each in link.sockets():
            poller.register(each, zmq.POLLIN)
        give_up = time.monotonic() + _OPEN_SECONDS
        while not self._closing:
            opening = not self._opened.done()
            waiting = opening or bool(link.cut)
            ready = dict(poller.poll(int(_PROBE_SECONDS * 1000) if waiting else None))
            if self._wake_in.fileno() in ready:
                self._drain_wake()
            self._flush(link)
            for message in link.read_iopub():
                self._handle(link, message)
            if link.read_events():
                self._receiver.resumed()
            link.drain_replies()
            if link.cut:
                link.check_alive()
            if opening and time.monotonic() > give_up:
                raise _gone(f"it did not answer within {_OPEN_SECONDS:.0f} s")
        if self._opened.done() and not link.cut:
            self._flush(link)
            link.comm("shell", "comm_close", {})

    def _drain_wake(self) -> None:
        try:
            while self._wake_in.recv(4096):
                pass
        except BlockingIOError:
            pass

    def _flush(self, link: _Link) -> None:
        while self._outbox and self._opened.done():
            channel, data, buffers = self._outbox.popleft()
            try:
                link.comm(channel, "comm_msg", data, buffers)
            except (TypeError, ValueError, OverflowError) as e:
                # What cannot be written fails alone; UnicodeEncodeError is a ValueError.
                error = {
                    "message": f"The request cannot be sent: {e}.",
                    "data": {"kind": "request"},
                }
                self._receiver.received({"id": data.get("id"), "error": error}, [])

    def _handle(self, link: _Link, message: Mapping[str, Any]) -> None:
        kind = message["header"]["msg_type"]
        content = message["content"]
        if kind == "iopub_welcome":
            if not self._opened.done():
                link.comm("shell", "comm_open", _open_data(), target=TARGET)
            elif link.welcomed():
                self._receiver.resumed()
            return
        if content.get("comm_id") != self._comm_id:
            return
        data = content.get("data") or {}
        if kind == "comm_close":
            reason = data.get("reason") or data.get("message") or "it closed the connection"
            raise _gone(str(reason))
        if kind != "comm_msg":
            return
        if self._opened.done():
            self._receiver.received(data, message["buffers"])
        elif data.get("method") == _REFUSED:
            error = from_rpc(data.get("params") or {})
            raise error if isinstance(error, LlamaError) else ProtocolError(str(error))
        elif data.get("method") == _HELLO:
            hello = data.get("params") or {}
            if hello.get("protocol") != PROTOCOL:
                raise ProtocolError(
                    f"The kernel speaks protocol {hello.get('protocol')}, "
                    f"this library (version {__version__}) protocol {PROTOCOL}.",
                    hint="run `llama-go stop`, then `pip install --upgrade llama-go`",
                )
            link.lease = float(hello.get("lease_ms", 10_000)) / 1000
            self._opened.set_result(hello)


class _Link:
    """The sockets of one connection."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], info: Mapping[str, Any], comm_id: str
    ) -> None:
        self.lease = 10.0
        self.cut: dict[str, float] = {}  # channel that is cut -> since when
        self._info = info
        self._comm_id = comm_id
        self._refused = 0
        self._session = Session(
            key=str(info.get("key", "")).encode(),
            signature_scheme=info.get("signature_scheme", "hmac-sha256"),
        )
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self._monitors: dict[str, zmq.Socket[bytes]] = {}
        for channel in ("iopub", "shell", "control"):
            s = context.socket(zmq.SUB if channel == "iopub" else zmq.DEALER)
            s.linger = _LINGER_MS
            s.sndhwm = 0
            s.rcvhwm = 0
            s.reconnect_ivl = 50
            s.reconnect_ivl_max = 500
            if channel == "iopub":
                s.subscribe(f"comm-{comm_id}".encode())
            else:
                s.setsockopt(zmq.ROUTING_ID, self._session.bsession)
            self._monitors[channel] = s.get_monitor_socket(
                zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED
            )
            s.connect(_endpoint(info, channel))
            self._sockets[channel] = s

    def sockets(self) -> list[zmq.Socket[bytes]]:
        return [*self._sockets.values(), *self._monitors.values()]

    def close(self) -> None:
        for s in self._sockets.values():
            s.disable_monitor()
            s.close(linger=_LINGER_MS)
        for s in self._monitors.values():
            s.close(linger=0)

    def comm(
        self,
        channel: str,
        kind: str,
        data: Mapping[str, Any],
        buffers: Sequence[Any] = (),
        target: str = "",
    ) -> None:
        content: dict[str, Any] = {"comm_id": self._comm_id, "data": data}
        if target:
            content["target_name"] = target
        views: list[Any] = [memoryview(b).cast("B") for b in buffers]
        self._session.send(self._sockets[channel], kind, content=content, buffers=views)

    def read_iopub(self) -> list[dict[str, Any]]:
        """Return the messages that are there, at most a batch of them."""
        messages: list[dict[str, Any]] = []
        while len(messages) < _BATCH:
            try:
                frames = self._sockets["iopub"].recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            try:
                _, parts = self._session.feed_identities(frames, copy=False)
                messages.append(self._session.deserialize(parts, content=True, copy=False))
            except (ValueError, TypeError, IndexError):
                continue  # not signed with our key, or not a message: not for us
        return messages

    def drain_replies(self) -> None:
        """Throw away what comes on shell and control: comm messages have no replies."""
        for channel in ("shell", "control"):
            try:
                while True:
                    self._sockets[channel].recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                pass

    def read_events(self) -> bool:
        """Follow cuts and reconnections; true when the last cut has healed."""
        healed = False
        for channel, monitor in self._monitors.items():
            while monitor.poll(0):
                event = recv_monitor_message(monitor)["event"]
                if event == zmq.EVENT_DISCONNECTED:
                    self.cut.setdefault(channel, time.monotonic())
                elif channel != "iopub":  # iopub is back when its welcome comes
                    healed = self._heal(channel) or healed
        return healed

    def welcomed(self) -> bool:
        """Note a second welcome; true when the last cut has healed."""
        return self._heal("iopub")

    def _heal(self, channel: str) -> bool:
        self._refused = 0
        return self.cut.pop(channel, None) is not None and not self.cut

    def check_alive(self) -> None:
        """Raise KernelGoneError when the cut is the end of the kernel.

        A kernel that lives still listens; a dead one's address refuses at once,
        whatever became of its pid. Twice, since a new one may be binding.
        """
        self._refused = 0 if _listening(self._info, "shell") else self._refused + 1
        if self._refused >= 2:
            raise _gone("it died, or was stopped")
        if time.monotonic() - min(self.cut.values()) > self.lease:
            raise _gone(f"it could not be reached for {self.lease:.0f} s")


def _gone(why: str) -> KernelGoneError:
    return KernelGoneError(
        f"The llama-go kernel is gone: {why}.",
        hint="build the model again (a new kernel is started); `llama-go logs` says more",
    )


def _open_data() -> dict[str, Any]:
    return {
        "protocol": PROTOCOL,
        "client": {
            "name": "pylib",
            "version": __version__,
            "pid": os.getpid(),
            "host": socket.gethostname(),
        },
    }


def _read_connection_file(path: Path) -> Mapping[str, Any]:
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        for key in ("ip", "shell_port", "control_port", "iopub_port", "key"):
            info[key]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise KernelGoneError(
            f"{path} is not a connection file that can be read: {e!r}.",
            hint="run `llama-go stop` and try again",
        ) from e
    checked: Mapping[str, Any] = info
    return checked


def _endpoint(info: Mapping[str, Any], channel: str) -> str:
    transport, ip, port = info.get("transport", "tcp"), info["ip"], info[f"{channel}_port"]
    return f"ipc://{ip}-{port}" if transport == "ipc" else f"{transport}://{ip}:{port}"


def _listening(info: Mapping[str, Any], channel: str) -> bool:
    """Say whether anybody accepts connections there; a slow answer counts as yes."""
    port = info[f"{channel}_port"]
    try:
        if info.get("transport", "tcp") == "ipc":
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
                s.settimeout(_PROBE_SECONDS)
                s.connect(f"{info['ip']}-{port}")
        else:
            with socket.create_connection((info["ip"], port), timeout=_PROBE_SECONDS):
                pass
    except (TimeoutError, BlockingIOError):
        return True
    except OSError:
        return False
    return True
