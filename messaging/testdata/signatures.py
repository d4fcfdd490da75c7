"""Makes signatures.json with jupyter_client's Session: keys, the four frames as
it serialises them, and the signature it puts on them.

    python signatures.py > signatures.json
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

from jupyter_client.session import Session

CONTENTS = [
    {},
    {"code": "print('hello')", "silent": False},
    {"text": 'é漢字🦙 \u0000 "quoted" \\ and a line\nbreak'},
    {"comm_id": "0123", "data": {"x": [1, 2.5, None, True], "nested": {"a": {"b": []}}}},
    {"code": "x" * 5000},
]
KEYS = [b"a", b"0f2a-key", "ключ".encode(), bytes(range(1, 65)), b"k" * 200]


def main() -> None:
    rows = []
    for key in KEYS:
        session = Session(key=key, session="s" * 8, username="somebody")
        for i, content in enumerate(CONTENTS):
            msg = session.msg(
                "execute_request",
                content,
                parent={"msg_id": "p", "session": "q"} if i % 2 else {},
                metadata={"cellId": str(i)},
            )
            msg["header"]["date"] = msg["msg_id"] = msg["header"]["msg_id"] = "fixed"
            msg["header"]["date"] = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(0)))
            _, signature, *frames = session.serialize(msg)
            rows.append({"key": key.decode(), "frames": [f.decode() for f in frames], "signature": signature.decode()})
    print(json.dumps(rows, indent=1))


main()
