"""Transformer against the real kernel and a reference in float64."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llama import (
    Llama,
    ModelArgs,
    NotEnoughMemoryError,
    StateDictError,
    TokenIndexError,
    Transformer,
    _rpc,
    create_transformer_from_config,
)

from . import reference, tiny

pytestmark = pytest.mark.usefixtures("kernel")

ARGS = {k: tiny.CONFIG[k] for k in ("hidden_size", "intermediate_size", "num_hidden_layers",
        "num_attention_heads", "num_key_value_heads", "vocab_size", "rms_norm_eps")}  # fmt: skip
ROW = [1, 17, 200, 5, 303, 42, 42, 9]


def new(**changes: Any) -> Transformer:
    options: dict[str, Any] = {"max_seq_len": 64, "max_batch_size": 4, **ARGS, **changes}
    return Transformer(ModelArgs(**options), dtype="float32", precision="exact")


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    return tiny.weights()


@pytest.fixture(scope="module")
def model(kernel: str, weights: dict[str, np.ndarray]) -> Transformer:
    model = new()
    assert repr(model.load_state_dict(weights)) == "<All keys matched successfully>"
    return model


@pytest.fixture
def fresh() -> Iterator[Transformer]:
    yield new()


def test_logits_equal_the_reference(model: Transformer, weights: dict[str, np.ndarray]) -> None:
    want = reference.forward(tiny.CONFIG, weights, ROW)
    got = model.forward([ROW])
    assert got.shape == (1, len(ROW), tiny.VOCAB) and got.dtype == np.float32
    np.testing.assert_allclose(got.numpy()[0], want, atol=1e-4)
    assert model([ROW]).argmax().tolist() == [want.argmax(-1).tolist()]
    np.testing.assert_allclose(got.log_softmax()[0], reference.log_softmax(want), atol=1e-4)
    picked = got.log_softmax_of([ROW])
    np.testing.assert_allclose(
        picked[0], reference.log_softmax(want)[range(len(ROW)), ROW], atol=1e-4
    )
    best = got.topk(5)
    assert best.indices[0].tolist() == np.argsort(-want, axis=-1)[:, :5].tolist()
    np.testing.assert_allclose(best.values[0], -np.sort(-want, axis=-1)[:, :5], atol=1e-4)


def test_tied_and_multi_head(kernel: str) -> None:
    config = {**tiny.CONFIG, "tie_word_embeddings": True, "num_key_value_heads": 4}
    weights = tiny.weights(config, seed=3)
    model = new(tie_word_embeddings=True, num_key_value_heads=4)
    assert model.num_parameters() == sum(w.size for w in weights.values())
    model.load_state_dict(weights)
    np.testing.assert_allclose(
        model([ROW]).numpy()[0], reference.forward(config, weights, ROW), atol=1e-4
    )
    assert "output.weight" not in model.state_dict()


def test_positions_continue(model: Transformer, weights: dict[str, np.ndarray]) -> None:
    want = reference.forward(tiny.CONFIG, weights, ROW)
    first = model.forward([ROW[:3]])
    second = model.forward([ROW[3:]], start_pos=3)
    assert second.shape == (1, len(ROW) - 3, tiny.VOCAB)
    whole = np.concatenate([first.numpy(), second.numpy()], axis=1)[0]
    np.testing.assert_allclose(whole, want, atol=1e-4)
    again = model.forward([ROW[3:5]], start_pos=3)  # overwrites
    np.testing.assert_array_equal(again.numpy(), second[:, :2])
    with pytest.raises(ValueError, match=r"\b9\b"):
        model.forward([[1]], start_pos=9)


def test_generate_does_not_disturb_forward(model: Transformer) -> None:
    want = model.forward([ROW]).numpy()
    model.forward([ROW[:3]])
    model.generate([[9, 9, 9]], 4)
    got = model.forward([ROW[3:]], start_pos=3).numpy()
    np.testing.assert_array_equal(got, want[:, 3:])


def test_rows_and_inputs(model: Transformer) -> None:
    one = model.forward([ROW]).numpy()
    two = model.forward([ROW[::-1], ROW]).numpy()
    np.testing.assert_array_equal(two[1:], one)
    for rows in (np.array([ROW]), (tuple(ROW),), [np.array(ROW, np.int32)]):
        np.testing.assert_array_equal(model.forward(rows).numpy(), one)


def test_logits_to_keep(model: Transformer) -> None:
    full = model.forward([ROW]).numpy()
    np.testing.assert_array_equal(model.forward([ROW], logits_to_keep=2).numpy(), full[:, -2:])
    np.testing.assert_array_equal(model.forward([ROW], logits_to_keep=99).numpy(), full)
    np.testing.assert_array_equal(
        model.forward([ROW], logits_to_keep=[0, -1]).numpy(), full[:, [0, -1]]
    )
    with pytest.raises(ValueError, match="8 positions"):
        model.forward([ROW], logits_to_keep=[8])
    with pytest.raises(ValueError, match="-1"):
        model.forward([ROW], logits_to_keep=-1)


@pytest.mark.parametrize(
    "key",
    [0, -1, slice(None), (0, 0), (0, -1, 5), (slice(None), slice(2, 5)), (1, slice(None, None, -2)),
     (..., 3), (0, ...), ([1, 0], 2), (slice(None), [0, 3]), (0, slice(5, 5)), np.int64(1),
     (slice(None), slice(None), slice(0, 7)), (np.array([True, False]),)],
    ids=str,
)  # fmt: skip
def test_indexing_is_numpys(model: Transformer, key: Any) -> None:
    logits = model.forward([ROW, ROW[::-1]])
    np.testing.assert_array_equal(logits[key], logits.numpy()[key])


def test_logits_as_arrays(model: Transformer) -> None:
    logits = model.forward([ROW, ROW])
    array = np.asarray(logits)
    assert len(logits) == 2 and logits.ndim == 3
    assert logits.size == array.size and logits.nbytes == array.nbytes
    assert logits.tolist() == array.tolist()
    assert np.asarray(logits, dtype=np.float64).dtype == np.float64
    assert [row.shape for row in logits] == [(8, tiny.VOCAB)] * 2
    assert "in the kernel" in repr(logits)
    assert "text/html" in logits._repr_mimebundle_()
    for bad in ((2,), (0, 8), (0, 0, tiny.VOCAB), (0, 0, 0, 0)):
        with pytest.raises(IndexError):
            logits[bad]
    with pytest.raises(ValueError, match="dimension"):
        logits.argmax(axis=0)
    with pytest.raises(ValueError, match="k must be"):
        logits.topk(0)
    with pytest.raises(ValueError, match="shape"):
        logits.log_softmax_of([1, 2])


def stat(name: str) -> int:
    return int(_rpc.connect().call("stats", {}).result[name])


def test_logits_are_freed_with_their_object(model: Transformer) -> None:
    gc.collect()
    time.sleep(0.2)
    before = stat("result_bytes")
    logits = model.forward([ROW] * 4)
    assert stat("result_bytes") == before + logits.nbytes
    del logits
    gc.collect()
    deadline = time.monotonic() + 5
    while stat("result_bytes") != before:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("rows", "error", "text"),
    [
        ([[1, 2, 3], [4]], ValueError, "expected sequence of length 3 at dim 1 (got 1)"),
        ([[tiny.VOCAB]], IndexError, "index out of range in self"),
        ([[-1]], TokenIndexError, "index out of range in self"),
        ([], ValueError, "empty"),
        ([[1] * 65], ValueError, "64"),
        ([[1]] * 5, ValueError, "4"),
    ],
)
def test_bad_forward(model: Transformer, rows: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        model.forward(rows)
    assert text in str(caught.value)
    assert model.forward([[1]]).shape == (1, 1, tiny.VOCAB)


def test_greedy_equals_the_reference(model: Transformer, weights: dict[str, np.ndarray]) -> None:
    rows = [ROW, ROW[:2], [7]]
    got = model.generate(rows, 6, temperature=0)
    assert got == [reference.greedy(tiny.CONFIG, weights, row, 6) for row in rows]
    assert model.last is not None and model.last.finish_reasons == ["length"] * 3
    assert model.generate(rows[:1], 6, 0) == got[:1]
    stopped = model.generate([ROW], 6, 0, stop_token_ids=[got[0][3]])
    first = got[0].index(got[0][3])
    assert stopped == [got[0][:first]] and model.last.finish_reasons == ["stop"]
    chunks = [r for step in model.generate([ROW], 6, 0, stream=True) for r in step]
    assert [r.token for r in chunks if not r.ignore_token] == got[0]
    assert chunks[-1].finished and chunks[-1].finish_reason == "length"


def test_sampling_follows_its_seed(model: Transformer) -> None:
    a = model.generate([ROW, ROW], 8, 1.0, 1.0, seed=5)
    assert a == model.generate([ROW, ROW], 8, 1.0, 1.0, seed=[5, 6])
    assert a[1:] == model.generate([ROW], 8, 1.0, 1.0, seed=6)
    assert a[0] != a[1]
    first, second = (model.generate([ROW], 8, 1.0, 1.0) for _ in range(2))
    assert first != second


def test_max_gen_len_none_fills_the_context(model: Transformer) -> None:
    assert [len(r) for r in model.generate([ROW, [3]], temperature=0)] == [64 - 8, 63]


def test_random_weights_are_the_same_every_time(kernel: str) -> None:
    args = ModelArgs(max_seq_len=16, **ARGS)
    a = Transformer(args).forward([ROW]).numpy()
    np.testing.assert_array_equal(a, Transformer(args).forward([ROW]).numpy())
    assert np.abs(a - Transformer(args, seed=2).forward([ROW]).numpy()).max() > 0
    state = Transformer(args, dtype="float32").state_dict()
    assert (state["norm.weight"] == 1).all()
    table = state["tok_embeddings.weight"]
    assert abs(table.std() - 0.02) < 0.001 and abs(table.mean()) < 0.001


def test_meta_names_and_order(model: Transformer, weights: dict[str, np.ndarray]) -> None:
    """Meta's Q and K rows pair (2i, 2i+1): what loads from them computes the same."""
    meta = model.state_dict()
    assert next(iter(meta)) == "tok_embeddings.weight" and "layers.1.feed_forward.w3.weight" in meta
    wq = weights["model.layers.0.self_attn.q_proj.weight"]
    turned = wq.reshape(4, 2, 8, 64).swapaxes(1, 2).reshape(64, 64)
    np.testing.assert_array_equal(meta["layers.0.attention.wq.weight"], turned)
    wk = weights["model.layers.0.self_attn.k_proj.weight"]
    turned = wk.reshape(2, 2, 8, 64).swapaxes(1, 2).reshape(32, 64)
    np.testing.assert_array_equal(meta["layers.0.attention.wk.weight"], turned)
    other = new()
    other.load_state_dict(dict(meta))
    np.testing.assert_allclose(
        other([ROW]).numpy()[0], reference.forward(tiny.CONFIG, weights, ROW), atol=1e-4
    )
    for name, value in other.state_dict(naming="hf").items():
        np.testing.assert_array_equal(value, weights[name])
    with pytest.raises(ValueError, match="'gguf'"):
        model.state_dict(naming="gguf")  # type: ignore[arg-type]


def test_prefixes_and_tables(fresh: Transformer, weights: dict[str, np.ndarray]) -> None:
    wrapped: dict[str, Any] = {f"module.{k}": v for k, v in weights.items()}
    wrapped["module.model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(8)
    assert not any(fresh.load_state_dict(wrapped))
    bare = {k.removeprefix("model."): v.tolist() for k, v in weights.items()}
    assert not any(fresh.load_state_dict(bare))
    np.testing.assert_allclose(
        fresh([ROW]).numpy()[0], reference.forward(tiny.CONFIG, weights, ROW), atol=1e-4
    )


def test_strict_differences_read_like_torch(
    fresh: Transformer, weights: dict[str, np.ndarray]
) -> None:
    before = fresh([ROW]).numpy()
    changed: dict[str, Any] = dict(weights)
    del changed["model.norm.weight"], changed["lm_head.weight"]
    changed["extra"] = np.zeros(2)
    changed["model.embed_tokens.weight"] = np.zeros((2, 3))
    changed["model.layers.0.mlp.up_proj.weight"] = "text"
    with pytest.raises(RuntimeError) as caught:
        fresh.load_state_dict(changed)
    assert str(caught.value) == (
        "Error(s) in loading state_dict for Transformer:\n"
        '\tMissing key(s) in state_dict: "model.norm.weight", "lm_head.weight". \n'
        '\tUnexpected key(s) in state_dict: "extra". \n'
        "\tsize mismatch for model.embed_tokens.weight: copying a param with shape "
        "torch.Size([2, 3]) from checkpoint, the shape in current model is "
        "torch.Size([304, 64]).\n"
        '\tWhile copying the parameter named "model.layers.0.mlp.up_proj.weight", expected '
        "torch.Tensor or Tensor-like object from checkpoint but received <class 'str'>"
    )
    with pytest.raises(StateDictError, match="size mismatch"):
        fresh.load_state_dict(changed, strict=False)
    np.testing.assert_array_equal(fresh([ROW]).numpy(), before)  # a failure changes nothing


def test_partial_loads(fresh: Transformer) -> None:
    result = fresh.load_state_dict({"norm.weight": np.full(64, 2.0), "x": 1}, strict=False)
    assert result.unexpected_keys == ["x"] and len(result.missing_keys) == 20
    state = fresh.state_dict()
    assert (state["norm.weight"] == 2).all() and (state["layers.0.ffn_norm.weight"] == 1).all()
    with pytest.raises(TypeError) as caught:
        fresh.load_state_dict(3)
    assert str(caught.value) == "Expected state_dict to be dict-like, got <class 'int'>."
    with pytest.raises(RuntimeError, match="mixes"):
        fresh.load_state_dict({"output.weight": 0, "model.embed_tokens.weight": 0})


def test_a_shared_model_becomes_private_when_loaded(tiny_dir: Path) -> None:
    a, b = (Llama.build(tiny_dir, precision="exact", progress=False) for _ in range(2))
    before = b.model([ROW]).numpy()
    a.model.load_state_dict({"norm.weight": np.zeros(64)}, strict=False)
    assert not a.model([ROW]).numpy().any()
    np.testing.assert_array_equal(b.model([ROW]).numpy(), before)


def test_dtypes(model: Transformer, weights: dict[str, np.ndarray]) -> None:
    half = new()
    half.load_state_dict(weights)
    assert half.half() is half and half.dtype == "float16"
    for name, value in half.state_dict(naming="hf").items():
        np.testing.assert_array_equal(value, weights[name].astype(np.float16))
    assert half.get_memory_footprint() == half.num_parameters() * 2
    assert half.to("cpu").bfloat16().dtype == "bfloat16"
    assert half.state_dict()["norm.weight"].dtype == np.float32  # numpy has no bfloat16
    assert half.to(np.float32).float().dtype == "float32"
    assert half.to(dtype="float16", device="cpu").dtype == "float16"
    for call in (half.cuda, lambda: half.to("cuda:0"), lambda: half.to(device="cuda")):
        with pytest.raises(ValueError, match="GPU"):
            call()


def test_module_habits(model: Transformer) -> None:
    assert model.eval() is model.train() is model.cpu() is model.requires_grad_(False) is model
    assert model.training is False and model.device == "cpu"
    model.zero_grad()
    assert model.config is model.params is model.args
    named = dict(model.named_parameters())
    assert len(named) == len(list(model.parameters())) == 21
    assert sum(p.numel() for p in named.values()) == model.num_parameters()
    weight = named["layers.0.attention.wk.weight"]
    assert weight.shape == (32, 64) and weight.dtype == "float32" and not weight.requires_grad
    assert np.asarray(weight).shape == (32, 64)
    assert "Linear" in model._repr_mimebundle_()["text/plain"]
    assert "parameters" in model._repr_mimebundle_()["text/html"]


def test_config_file_with_overrides(tiny_dir: Path) -> None:
    model = create_transformer_from_config(tiny_dir / "config.json", max_seq_len=8, n_layers=1)
    assert model.args.max_seq_len == 8 and model.args.num_hidden_layers == 1
    with pytest.raises(ValueError, match="9 tokens"):
        model.generate([[1] * 9], 1)
    assert model.forward([[1] * 8]).shape == (1, 8, tiny.VOCAB)


def available() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024
    return 0


def test_a_model_larger_than_memory_is_refused_with_numbers(kernel: str) -> None:
    huge = Transformer(ModelArgs(num_hidden_layers=1000))  # 400 GB
    huge.load_state_dict  # noqa: B018  # nothing is made before it is used
    with pytest.raises(MemoryError) as caught:
        huge.forward([[1, 2, 3]])
    error = caught.value
    assert isinstance(error, NotEnoughMemoryError)
    assert error.needed > 400e9 > error.available > 0
    assert len([r for r in ("max_seq_len", "quantize", "bits", "smaller", "dtype", "precision")
                if r in error.hint]) >= 2  # fmt: skip
    assert Transformer(ModelArgs(max_seq_len=8, **ARGS)).forward([[1]]).shape == (1, 1, 304)


def test_the_default_model(kernel: str) -> None:
    """7B in float16, 13.5 GB: runs where 18 GiB are free, is refused where 14 are not."""
    free = available()
    if free < 14 << 30:
        with pytest.raises(NotEnoughMemoryError):
            Transformer(ModelArgs()).forward([[1]])
        return
    if free < 18 << 30:
        pytest.skip(f"{free / 2**30:.1f} GiB are free, the run is for 18")
    assert Transformer(ModelArgs()).forward([[1, 2]]).shape == (1, 2, 32000)
