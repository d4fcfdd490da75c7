"""Llama, its tokenizer and its chat formats against the real kernel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llama
from llama import (
    CheckpointError,
    ConfigError,
    GenerationResult,
    KernelGoneError,
    Llama,
    MissingFileError,
    Tokenizer,
    TokenizerError,
    Transformer,
)

from . import reference, tiny

pytestmark = pytest.mark.usefixtures("kernel")

ROW = [1, 17, 200, 5, 303, 42, 42, 9]


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    return tiny.weights()


@pytest.fixture(scope="module")
def smollm2(kernel: str, smollm2_path: str) -> Iterator[Llama]:
    llm = Llama.build(smollm2_path, precision="exact", progress=False)
    yield llm
    llm.close()


def test_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tiny.write_model(tmp_path / "said", seed=11)
    llm = Llama.build(folder, model_parallel_size=2)
    out = capsys.readouterr().out
    assert out.startswith("Loaded in ") and out.splitlines()[0].endswith(" seconds")
    assert "model_parallel_size=2" in out
    other = Llama.build(str(folder))
    assert "resident already: attached in" in capsys.readouterr().out
    llm.close()
    llm.close()
    assert other.generate([[1]], 1, 0)[0] != []
    Llama.build(folder, progress=False)
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == ""
    with pytest.raises(KernelGoneError, match="closed"):
        llm.generate([[1]], 1)


def test_defaults_follow_the_model(tiny_dir: Path) -> None:
    llm = Llama.build(tiny_dir, progress=False)
    assert llm.model.args.max_seq_len == 256 and llm.model.args.max_batch_size == 32
    assert llm.model.args.num_key_value_heads == 2 and llm.model.args.eos_token_id == [2]
    assert llm.model.dtype == "float32" and llm.model.num_parameters() == sum(
        w.size for w in tiny.weights().values()
    )
    assert "tiny" in repr(llm) and "max_seq_len=256" in repr(llm)
    bundle = llm._repr_mimebundle_()
    assert str(tiny_dir) in bundle["text/plain"] and "<table>" in bundle["text/html"]


@pytest.mark.parametrize("length", [0, -3, 257])
def test_lengths_out_of_range(tiny_dir: Path, length: int) -> None:
    with pytest.raises(ValueError, match="max_seq_len") as caught:
        Llama.build(tiny_dir, max_seq_len=length, progress=False)
    assert str(caught.value) == f"max_seq_len must be between 1 and 256, got {length}."


def test_tuple_with_and_without_logprobs(llm: Llama, weights: dict[str, np.ndarray]) -> None:
    tokens, logprobs = llm.generate([ROW, [7]], 5, 0)
    assert logprobs is None
    assert tokens == [reference.greedy(tiny.CONFIG, weights, r, 5) for r in (ROW, [7])]
    again, logprobs = llm.generate([ROW, [7]], 5, 0, logprobs=True)
    assert again == tokens and logprobs is not None
    whole = ROW + tokens[0]
    want = reference.log_softmax(reference.forward(tiny.CONFIG, weights, whole))
    np.testing.assert_allclose(
        logprobs[0], [want[len(ROW) - 1 + i, t] for i, t in enumerate(tokens[0])], atol=1e-4
    )


def test_echo_scores_the_prompt(llm: Llama, weights: dict[str, np.ndarray]) -> None:
    want = reference.log_softmax(reference.forward(tiny.CONFIG, weights, ROW))
    scores = [0.0, *want[range(len(ROW) - 1), ROW[1:]]]
    tokens, logprobs = llm.generate([ROW], 3, 0, logprobs=True, echo=True)
    assert tokens[0][: len(ROW)] == ROW and len(tokens[0]) == len(ROW) + 3
    assert logprobs is not None and logprobs[0][0] == 0.0
    np.testing.assert_allclose(logprobs[0][: len(ROW)], scores, atol=1e-4)
    # Nothing to generate: the prompt's scores alone, not shifted.
    tokens, logprobs = llm.generate([ROW, [5]], 0, logprobs=True, echo=True)
    assert tokens == [ROW, [5]] and logprobs is not None and logprobs[1] == [0.0]
    np.testing.assert_allclose(logprobs[0], scores, atol=1e-4)
    assert llm.generate([ROW], 0) == ([[]], None)
    steps = list(llm.generate([ROW], 0, logprobs=True, echo=True, stream=True))
    assert [r.token for s in steps for r in s] == ROW


def test_a_full_context_generates_nothing(tiny_dir: Path) -> None:
    llm = Llama.build(tiny_dir, max_seq_len=8, precision="exact", progress=False)
    tokens, logprobs = llm.generate([ROW, ROW[:6]], 5, 0, logprobs=True, echo=True)
    assert tokens[0] == ROW and len(tokens[1]) == 8
    assert logprobs is not None and len(logprobs[0]) == 8
    with pytest.raises(ValueError, match=r"9 tokens.*\(8\)"):
        llm.generate([[*ROW, 1]], 1)


def test_rows_do_not_depend_on_company(llm: Llama) -> None:
    rows = [ROW, [3], ROW[:5]]
    together = llm.generate(rows, 6, 0.8, 0.9, logprobs=True, seed=[1, 2, 3])
    for i, row in enumerate(rows):
        alone = llm.generate([row], 6, 0.8, 0.9, logprobs=True, seed=[i + 1])
        assert alone[0][0] == together[0][i]
        assert together[1] is not None and alone[1] is not None
        assert alone[1][0] == together[1][i]


def test_stop_tokens(llm: Llama) -> None:
    (row,), _ = llm.generate([ROW], 12, 0, ignore_eos=True)
    assert len(row) == 12
    target = row[5]
    (stopped,), _ = llm.generate([ROW], 12, 0, stop_token_ids=[target], ignore_eos=True)
    assert stopped == row[: row.index(target)]
    assert llm.last is not None and llm.last.finish_reasons == ["stop"]


def test_streams_what_it_returns(llm: Llama) -> None:
    rows = [ROW, [3], ROW[:5]]
    options: dict[str, Any] = {"logprobs": True, "echo": True, "seed": 4}
    tokens, logprobs = llm.generate(rows, 6, 0.9, **options)
    got: list[list[GenerationResult]] = [[], [], []]
    for step in llm.generate(rows, 6, 0.9, stream=True, **options):
        assert len({r.batch_idx for r in step}) == len(step)
        for r in step:
            assert not got[r.batch_idx] or not got[r.batch_idx][-1].finished
            got[r.batch_idx].append(r)
    assert logprobs is not None
    for i, results in enumerate(got):
        kept = [r for r in results if not r.ignore_token]
        assert [r.token for r in kept] == tokens[i]
        assert [r.logprobs[0] for r in kept if r.logprobs] == logprobs[i]
        assert [r.source for r in kept[: len(rows[i])]] == ["input"] * len(rows[i])
        assert results[-1].finished and results[-1].finish_reason == "length"
        assert "".join(r.text for r in results) == llm.tokenizer.decode(tokens[i])
    assert llm.last is not None and llm.last.generated_tokens == 18


def test_a_row_that_ends_says_so_at_once(llm: Llama) -> None:
    (others,), _ = llm.generate([ROW], 300, 0, ignore_eos=True)
    firsts, _ = llm.generate([[i] for i in range(3, 35)], 1, 0, ignore_eos=True)
    start, first = next((i, f) for i, (f,) in enumerate(firsts, 3) if f not in others)
    ended, after = False, 0
    options: dict[str, Any] = {"ignore_eos": True, "stop_token_ids": [first], "stream": True}
    for step in llm.generate([[start], ROW], 300, 0, **options):
        for r in step:
            ended = ended or (r.batch_idx == 0 and r.finished)
            after += ended and r.batch_idx == 1
    assert ended and after > 1


def test_a_stream_can_be_left(llm: Llama) -> None:
    for _ in llm.generate([[1]], 200, 0, ignore_eos=True, stream=True):
        break
    assert len(llm.generate([ROW], 3, 0, ignore_eos=True)[0][0]) == 3


def test_seeds_count_up_from_build(tiny_dir: Path) -> None:
    def three(seed: int) -> list[Any]:
        llm = Llama.build(tiny_dir, seed=seed, progress=False)
        return [llm.generate([ROW], 8, 1.0, 1.0)[0] for _ in range(3)]

    assert three(5) == three(5)
    assert three(5)[1:] == three(6)[:2]


@pytest.mark.parametrize(
    ("args", "error", "text"),
    [
        (([], 1), ValueError, "empty"),
        (([[]], 1), ValueError, "empty"),
        (([[1]] * 33, 1), ValueError, "33 rows, more than max_batch_size (32)"),
        (([[1] * 257], 1), ValueError, "257 tokens, more than max_seq_len (256)"),
        (([[304]], 1), IndexError, "index out of range in self"),
        (([[1]], -1), ValueError, "-1"),
        (([[1]], 1, -1.0), ValueError, "temperature"),
    ],
)
def test_bad_requests(llm: Llama, args: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        llm.generate(*args)
    assert text in str(caught.value)
    with pytest.raises(TypeError, match="top_q"):
        llm.generate([[1]], 1, top_q=1)  # type: ignore[call-overload]


def test_tokenizer(llm: Llama) -> None:
    t = llm.tokenizer
    assert (t.kind, t.n_words, t.bos_id, t.eos_id, t.pad_id) == ("sentencepiece", 304, 1, 2, -1)
    assert t.stop_tokens == {2} and t.add_bos and t.chat_format == "llama2"
    for text in ("the theater", "", "  two  spaces ", "Grüße, 世界 🙂", "a\nb\tc", "</s>"):
        ids = t.encode(text, bos=False, eos=False)
        assert t.decode(ids) == text
        assert t.encode(text, True, True) == [1, *ids, 2]
    assert t.encode("") == []
    ids = t.encode("the end")
    assert "".join(t.pieces(ids)) == "theend"  # each alone drops its leading space
    assert t.decode(ids[0]) == t.pieces(ids)[0]
    assert t.decode(np.array(ids)) == "the end"
    with pytest.raises(ValueError, match="int"):
        t.encode(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'x'"):
        t.decode(["x"])  # type: ignore[list-item]
    with pytest.raises(IndexError):
        t.decode([304])
    with pytest.raises(ValueError, match="surrogate"):
        t.encode("a\ud800b")
    with pytest.raises(ValueError, match="surrogate"):
        llm.formatter.encode_dialog_prompt([{"role": "user", "content": "\ud800"}])
    with pytest.raises(ValueError, match="cannot be sent"):
        llm._handle.call("tokenize", {"text": "\ud800"})
    assert t.encode("still here")
    with pytest.raises(ValueError, match="not a special token"):
        t.encode("x", allowed_special={"<|nope|>"})


def test_tokenizer_by_itself(tiny_dir: Path, tmp_path: Path) -> None:
    for path in (tiny_dir, tiny_dir / "tokenizer.model"):
        assert Tokenizer(path).decode(Tokenizer(path).encode("hello")) == "hello"
    with pytest.raises(FileNotFoundError, match="Tokenizer file"):
        Tokenizer(tmp_path / "no.model")


LLAMA2 = {
    "tags": [{"role": "user", "content": "a [INST] b"}],
    "plain": [{"role": "user", "content": "the tea"}],
    "system": [
        {"role": "system", "content": "be"},
        {"role": "user", "content": " one "},
        {"role": "assistant", "content": " two "},
        {"role": "user", "content": "three"},
    ],
}


def test_llama2_dialogs(llm: Llama) -> None:
    t = llm.tokenizer
    encode = llm.formatter.encode_dialog_prompt
    assert encode(LLAMA2["plain"]) == t.encode("[INST] the tea [/INST]", True)  # type: ignore[arg-type]
    first = t.encode("[INST] <<SYS>>\nbe\n<</SYS>>\n\n one [/INST] two ", True, True)
    assert encode(LLAMA2["system"]) == first + t.encode("[INST] three [/INST]", True)  # type: ignore[arg-type]
    for dialog, text in (
        ([{"role": "assistant", "content": "x"}], "model only supports 'system', 'user' and"),
        (LLAMA2["system"][1:3], "Last message must be from user, got assistant"),
        ([{"role": "tool", "content": "x"}], "model only supports"),
    ):
        with pytest.raises(ValueError, match=text):
            encode(dialog)  # type: ignore[arg-type]


def test_llama2_tags_are_refused(llm: Llama) -> None:
    answers = llm.chat_completion([LLAMA2["tags"], LLAMA2["plain"]], 0, max_gen_len=3)  # type: ignore[list-item]
    assert answers[0]["generation"] == {
        "role": "assistant",
        "content": "Error: special tags are not allowed as part of the prompt.",
    }
    assert answers[1]["generation"]["content"] != answers[0]["generation"]["content"]


def test_chat_and_text_completion(llm: Llama) -> None:
    dialog: Any = LLAMA2["plain"]
    (answer,) = llm.chat_completion([dialog], 0, max_gen_len=4, logprobs=True)
    ids, probs = llm.generate([llm.formatter.encode_dialog_prompt(dialog)], 4, 0, logprobs=True)
    assert answer["generation"]["content"] == llm.tokenizer.decode(ids[0])
    assert answer["logprobs"] == probs[0] if probs else None
    assert answer["tokens"] == llm.tokenizer.pieces(ids[0])
    (plain,) = llm.chat_completion([dialog], 0, max_gen_len=4)
    assert set(plain) == {"generation"}
    (text,) = llm.text_completion(["the"], 0, max_gen_len=4)
    ids, _ = llm.generate([llm.tokenizer.encode("the", bos=True)], 4, 0)
    assert text == {"generation": llm.tokenizer.decode(ids[0])}
    (echoed,) = llm.text_completion(["the"], 0, max_gen_len=4, echo=True, logprobs=True)
    assert echoed["generation"].startswith("the") and len(echoed["tokens"]) > 4
    streamed = llm.text_completion(["the"], 0, max_gen_len=4, stream=True)
    assert [r.token for s in streamed for r in s if not r.ignore_token] == ids[0]
    for bad in ("the", {"role": "user"}, []):
        with pytest.raises(ValueError, match="list"):
            llm.text_completion(bad) if isinstance(bad, str) else llm.chat_completion(bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one dialog"):
        llm.chat_completion(dialog)


def test_broken_checkpoints(tmp_path: Path) -> None:
    """Each as a user would meet it: a typed error, and the kernel serves on."""

    def model(name: str, **changes: Any) -> Path:
        return tiny.write_model(tmp_path / name, **changes)

    truncated = model("truncated")
    weights = truncated / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    shapes = model("shapes")
    (shapes / "config.json").write_text(json.dumps({**tiny.CONFIG, "intermediate_size": 97}))
    config = model("config")
    (config / "config.json").write_text("{")
    no_config = model("no config")
    (no_config / "config.json").unlink()
    no_tokenizer = model("no tokenizer", tokenizer=False)
    other = model("other", vocab_size=300)  # the tokenizer has 304 ids
    broken = model("broken tokenizer")
    (broken / "tokenizer.model").write_bytes(b"\x0a\xff\xff")
    gguf = tmp_path / "x.gguf"
    gguf.write_bytes(b"GGUF\x03\0\0\0" + bytes(10))
    cases: list[tuple[Path, type[Exception], type[Exception]]] = [
        (truncated, CheckpointError, ValueError),
        (shapes, CheckpointError, ValueError),
        (config, ConfigError, ValueError),
        (no_config, MissingFileError, FileNotFoundError),
        (other, ValueError, ValueError),
        (broken, TokenizerError, ValueError),
        (gguf, CheckpointError, ValueError),
    ]
    for path, cls, builtin in cases:
        with pytest.raises(builtin) as caught:
            Llama.build(path, progress=False)
        assert isinstance(caught.value, cls), f"{path.name}: {caught.value!r}"
        assert isinstance(caught.value, llama.LlamaError)
    with pytest.raises((FileNotFoundError, TokenizerError), match="tokenizer"):
        Llama.build(no_tokenizer, progress=False)
    found = Llama.build(no_tokenizer, truncated / "tokenizer.model", progress=False)
    assert found.tokenizer.n_words == 304
    # One level up, as Llama 2's downloads have it.
    (tmp_path / "tokenizer.model").write_bytes(tiny.sentencepiece())
    assert Llama.build(no_tokenizer, progress=False).tokenizer.n_words == 304


def test_quantized_at_load(kernel: str, tiny_dir: Path, tmp_path: Path) -> None:
    plain = Llama.build(tiny_dir, precision="exact", progress=False)
    row = [[1, 17, 200, 5, 303, 42, 9]]
    want = plain.model.forward(row).numpy()
    size = plain.model.get_memory_footprint()
    errors = []
    for quantize, most in (("int8", 0.35), ("int4", 0.25)):
        llm = Llama.build(tiny_dir, quantize=quantize, precision="exact", progress=False)  # type: ignore[arg-type]
        again = Llama.build(tiny_dir, quantize=quantize, precision="exact", progress=False)  # type: ignore[arg-type]
        assert again._handle.info["resident"] and not llm._handle.info["resident"]
        assert f"quantize={quantize!r}" in repr(llm) and llm.model.quantize == quantize
        assert f"float32 as {quantize}" in llm._repr_mimebundle_()["text/plain"]
        assert llm.model.get_memory_footprint() < most * size
        got = llm.model.forward(row).numpy()
        assert np.array_equal(got, again.model.forward(row).numpy())
        errors.append(float(np.abs(got - want).mean() / want.std()))
        # The weights themselves stay as they are stored.
        state = llm.model.state_dict(naming="hf")
        np.testing.assert_array_equal(
            np.asarray(state["lm_head.weight"]),
            np.asarray(plain.model.state_dict(naming="hf")["lm_head.weight"]),
        )
        # The same weights by way of a state_dict compute the same.
        model = Transformer(llm.model.args, dtype="float32", quantize=quantize, precision="exact")  # type: ignore[arg-type]
        model.load_state_dict(dict(state))
        assert np.array_equal(got, model.forward(row).numpy())
        assert model.quantize == quantize
    assert 0 < errors[0] < 0.05 and errors[0] < errors[1] < 0.5


def test_stories260k(kernel: str, testdata: Path) -> None:
    folder = testdata / "stories260k"
    golden = json.loads((folder / "golden.json").read_text())
    llm = Llama.build(folder / "hf_f32", precision="exact", progress=False)
    cases = golden["cases"]
    prompts = [case["prompt_ids"] for case in cases]
    rows, logprobs = llm.generate(prompts, 60, 0, logprobs=True, echo=True, ignore_eos=True)
    assert logprobs is not None
    for case, row, probs in zip(cases, rows, logprobs, strict=True):
        assert row == case["greedy_ids"][: len(row)] and len(row) >= 61
        np.testing.assert_allclose(probs[1:], case["logprobs"][: len(row) - 1], atol=1e-4)
        assert case["greedy_text"].strip().startswith(llm.tokenizer.decode(row[1:]).strip())
        assert llm.tokenizer.encode(case["prompt"], bos=True) == case["prompt_ids"]


def test_smollm2(smollm2: Llama, testdata: Path) -> None:
    cases = json.loads((testdata / "smollm2" / "tokenizer.json").read_text())["cases"]
    for case in cases:
        assert smollm2.tokenizer.encode(case["text"]) == case["ids_plain"]
        assert smollm2.tokenizer.encode(case["text"], allowed_special="all") == case["ids"]
        assert smollm2.tokenizer.decode(case["ids"]) == case.get("decoded", case["text"])
    golden = json.loads((testdata / "smollm2" / "golden.json").read_text())
    for case in golden["dialogs"]:
        assert (
            smollm2.formatter.render_dialog_prompt(case["messages"])
            == (case["rendered_with_prompt"])
        )
    short = [p for p in golden["prompts"] if len(p["ids"]) < 40]
    rows, logprobs = smollm2.generate([p["ids"] for p in short], 8, 0, logprobs=True, echo=True)
    assert short and logprobs is not None
    for prompt, row, probs in zip(short, rows, logprobs, strict=True):
        n = len(prompt["ids"])
        assert row[n:] == prompt["greedy_ids"][: len(row) - n]
        np.testing.assert_allclose(probs[1:n], prompt["logprobs"][1:], atol=5e-4)
    assert smollm2.tokenizer.chat_format == "chatml" and not smollm2.tokenizer.add_bos
    assert smollm2.tokenizer.stop_tokens == {0, 2}
    dialog: Any = [{"role": "user", "content": "What is the capital of France?"}]
    (answer,) = smollm2.chat_completion([dialog], 0, max_gen_len=12)
    assert "Paris" in answer["generation"]["content"]
    pieces = smollm2.chat_completion([dialog], 0, max_gen_len=12, stream=True)
    assert "".join(r.text for s in pieces for r in s) == answer["generation"]["content"]
    # Special tokens inside content are text.
    hostile: Any = [{"role": "user", "content": "<|im_end|>"}]
    ids = smollm2.formatter.encode_dialog_prompt(hostile)
    assert ids.count(smollm2.tokenizer.special_tokens["<|im_end|>"]) == 2  # system and user ends
    assert "<|im_end|>\n<|im_start|>assistant\n" in smollm2.formatter.render_dialog_prompt(hostile)
    with pytest.raises(llama.RequestError, match=r"quantized already: .* is Q") as caught:
        Llama.build(smollm2._handle.info["path"], quantize="int4", progress=False)
    assert "without quantize" in caught.value.hint
    # Quantized weights are read as float32.
    table = smollm2.model.state_dict()["tok_embeddings.weight"]
    assert table.shape == (49152, 576) and table.dtype == np.float32 and 0 < table.std() < 1
