"""Rows, names of models, finding the binary, and cards; no kernel."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llama
from llama import MissingFileError, RequestError, TokenIndexError, _launch, _models
from llama._generate import GenerateStats, Request, _steps, _Told
from llama._rows import check_ids, to_rows
from llama.tokenizer import check_dialog


@pytest.mark.parametrize(
    "rows",
    [[[1, 2], [3]], ((1, 2), (3,)), [np.array([1, 2]), np.array([3])], [range(1, 3), [3]]],
)
def test_rows_from_sequences(rows: Any) -> None:
    assert to_rows(rows, "x") == [[1, 2], [3]]


def test_rows_from_arrays() -> None:
    rows = to_rows(np.array([[1, 2], [3, 4]], dtype=np.int32), "x")
    assert rows == [[1, 2], [3, 4]] and type(rows[0][0]) is int


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([], "empty batch"),
        ([[1], []], r"x\[1\] is an empty row"),
        ([1, 2, 3], "rows of token ids, got 1 as row 0"),
        ("text", "rows of token ids"),
        (["text"], "rows of token ids"),
        ([[1.5]], r"1.5 \(float\)"),
        ([["a"]], r"'a' \(str\)"),
        (None, "None"),
        (np.zeros((1, 2)), r"0.0 \(float\)"),
    ],
)
def test_bad_rows(rows: Any, text: str) -> None:
    with pytest.raises(RequestError, match=text):
        to_rows(rows, "x")


def test_ids_outside_the_vocabulary() -> None:
    check_ids([[0, 9]], 10)
    for row in ([10], [-1], [1 << 40]):
        with pytest.raises(TokenIndexError) as caught:
            check_ids([[0], row], 10)
        assert str(caught.value) == "index out of range in self"
        assert str(row[0]) in caught.value.hint and "row 1" in caught.value.hint


def check(**changes: Any) -> Request:
    options: dict[str, Any] = {
        "prompt_tokens": [[1, 2], [3]], "max_gen_len": 5, "temperature": 0.6, "top_p": 0.9,
        "seed": 7, "max_batch_size": 2, "max_seq_len": 8, "vocab_size": 10,
    }  # fmt: skip
    return Request.check(**{**options, **changes})


def test_seeds() -> None:
    assert check().seeds == [7, 8]
    assert check(seed=[5, 5]).seeds == [5, 5]
    assert check(seed=np.array([1, 2])).seeds == [1, 2]
    assert check(seed=-1).seeds == [2**64 - 1, 0]
    for bad, text in (([1], "1 entries for 2 rows"), ("x", "'x'"), (1.5, "1.5")):
        with pytest.raises(RequestError, match=text):
            check(seed=bad)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"prompt_tokens": [[1]] * 3}, r"3 rows, more than max_batch_size \(2\)"),
        ({"prompt_tokens": [[1] * 9]}, r"9 tokens, more than max_seq_len \(8\)"),
        ({"max_gen_len": -1}, "-1"),
        ({"max_gen_len": 1.5}, "1.5"),
        ({"temperature": -0.1}, "temperature .* -0.1"),
        ({"temperature": float("nan")}, "nan"),
        ({"top_p": "x"}, "top_p .* 'x'"),
        ({"stop_token_ids": ["x"]}, "stop_token_ids"),
    ],
)
def test_bad_requests(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        check(**changes)


def test_none_goes_to_the_end_of_the_context() -> None:
    assert check(max_gen_len=None).max_gen_len == 7
    assert check(max_gen_len=10**30).max_gen_len == 8


def test_chunks_become_steps() -> None:
    request = check(logprobs=True)
    chunks = [
        {"row": 1, "ids": [4, 5], "logprobs": [-1.0, -2.0], "text": "hi"},
        {"row": 0, "ids": [6], "logprobs": [-3.0], "finish": "length", "text": "x"},
        {"row": 1, "ids": [], "finish": "stop", "text": "!"},
    ]
    steps = list(_steps(chunks, request))
    assert [[(r.batch_idx, r.token, r.text) for r in s] for s in steps] == [
        [(0, 6, "x"), (1, 4, "")],
        [(1, 5, "hi")],
        [(1, -1, "!")],
    ]
    assert steps[0][0].finished and steps[0][0].finish_reason == "length"
    assert steps[0][0].logprobs == [-3.0] and not steps[0][1].finished
    end = steps[2][0]
    assert end.finished and end.ignore_token and end.finish_reason == "stop"


def test_what_a_cut_swallowed_is_told_at_the_end() -> None:
    request = check(logprobs=True, echo=True)
    told = _Told(request)
    chunk = {"row": 0, "ids": [1], "logprobs": [0.0], "echo": True, "text": "a"}
    assert [r.token for s in told.steps({"chunks": [chunk]}) for r in s] == [1]
    told.gap = True
    rows = [
        {"ids": [1, 2, 8, 9], "logprobs": [0, -1, -2, -3], "text": "abcd", "finish_reason": "stop"},
        {"ids": [3], "logprobs": [0], "text": "x", "finish_reason": "length"},
    ]
    rest = [r for s in told.rest({"rows": rows}) for r in s]
    first = [r for r in rest if r.batch_idx == 0]
    assert [(r.token, r.source, r.logprobs) for r in first] == [
        (2, "input", [-1]),
        (8, "output", [-2]),
        (9, "output", [-3]),
    ]
    assert "".join(r.text for r in first) == "bcd" and first[-1].finish_reason == "stop"
    second = [r for r in rest if r.batch_idx == 1]
    assert second[0].token == 3 and second[-1].finished and second[-1].text == "x"
    assert list(_Told(check()).rest({"rows": []})) == []


def test_stats_are_one_line() -> None:
    stats = GenerateStats(["stop"], 10, 2, 0.5, 21, 4.0, 20)
    assert stats.prefill_rate == 20 and stats.decode_rate == 5
    assert str(stats) == (
        "prefill 10 tokens (+2 reused) at 20.0 tok/s, decode 21 tokens at 5.0 tok/s"
    )
    assert GenerateStats().decode_rate == 0
    assert "<span" in stats._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize(
    "dialog",
    ["hi", {"role": "user", "content": "x"}, [], ["hi"], [{"role": "user"}], 3,
     [{"role": "user", "content": 3}]],
)  # fmt: skip
def test_bad_dialogs(dialog: Any) -> None:
    with pytest.raises(RequestError):
        check_dialog(dialog)


def program(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _launch._NAME
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_where_the_binary_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLAMA_GO_BIN", raising=False)
    folders = [tmp_path / "scripts", tmp_path / "user"]
    monkeypatch.setattr(_launch, "_script_folders", lambda: iter(folders))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    with pytest.raises(MissingFileError, match="not found") as caught:
        _launch.find_binary()
    assert "pip install" in caught.value.hint
    for folder in (tmp_path / "path", folders[1], folders[0]):
        there = program(folder)
        assert _launch.find_binary() == str(there)
    monkeypatch.setenv("LLAMA_GO_BIN", str(program(tmp_path / "named")))
    assert _launch.find_binary() == str(tmp_path / "named" / _launch._NAME)
    monkeypatch.setenv("LLAMA_GO_BIN", str(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError, match="LLAMA_GO_BIN"):
        _launch.find_binary()


def test_script_folders_are_this_environments() -> None:
    folders = list(_launch._script_folders())
    assert folders[0] == Path(sys.prefix) / ("Scripts" if os.name == "nt" else "bin")


def test_an_explicit_connection_file_must_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_GO_CONNECTION", str(tmp_path / "no.json"))
    with pytest.raises(MissingFileError, match="LLAMA_GO_CONNECTION"):
        _launch.find_or_start()
    (tmp_path / "no.json").write_text("{}")
    assert _launch.find_or_start() == tmp_path / "no.json"


def test_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLAMA_GO_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if sys.platform == "linux":
        assert _models.cache_dir() == tmp_path / ".cache" / "llama-go"
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert _models.cache_dir() == tmp_path / "xdg" / "llama-go"
    monkeypatch.setenv("LLAMA_GO_CACHE", str(tmp_path / "mine"))
    assert _models.cache_dir() == tmp_path / "mine"


def test_a_path_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smollm2").mkdir()
    assert _models.resolve("smollm2") == tmp_path / "smollm2"


def test_a_model_in_hugging_faces_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("LLAMA_GO_OFFLINE", "1")
    with pytest.raises(FileNotFoundError, match="'org/name' does not exist"):
        _models.resolve("org/name")
    folder = tmp_path / "hub" / "models--org--name"
    snapshot = folder / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc\n")
    assert _models.resolve("org/name") == snapshot


def test_what_is_no_model() -> None:
    with pytest.raises(MissingFileError) as caught:
        llama.Llama.build("no/such/folder")
    assert str(caught.value) == "Checkpoint directory 'no/such/folder' does not exist."
    assert "smollm2" in caught.value.hint
    with pytest.raises(FileNotFoundError, match="'nothing'"):
        llama.pull("nothing")


def test_build_checks_before_it_starts_anything(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"no checkpoint files found in {tmp_path}"):
        llama.Llama.build(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(FileNotFoundError) as caught:
        llama.Llama.build(tmp_path, tokenizer_path="no.model")
    assert str(caught.value) == "Tokenizer file 'no.model' does not exist."
    for options, text in (
        ({"precision": "half"}, "'exact' or 'fast', got 'half'"),
        ({"quantize": "int5"}, "'int8', 'int4' or None, got 'int5'"),
        ({"quantize": 8}, "got 8"),
        ({"threads": 0}, "threads"),
        ({"max_batch_size": 0}, "max_batch_size"),
        ({"max_seq_len": 1.5}, "max_seq_len"),
        ({"dtype": "int8"}, "int8"),
    ):
        with pytest.raises(ValueError, match=text):
            llama.Llama.build(tmp_path, **options)  # type: ignore[arg-type]


def test_surface() -> None:
    for name in llama.__all__:
        assert hasattr(llama, name)
    from llama.generation import Dialog, Message
    from llama.tokenizer import Dialog as Dialog3
    from llama.tokenizer import Message as Message3

    assert Dialog is Dialog3 and Message is Message3


def test_cards_escape_html() -> None:
    from llama._repr import card

    bundle = card("<b>", {"file": "<script>"})
    assert "<script>" not in bundle["text/html"] and "<script>" in bundle["text/plain"]
