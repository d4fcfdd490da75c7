"""Names and values of state dicts; no kernel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from llama import StateDictError
from llama._names import canonical, ignored, spelled
from llama._state import _as_tensor, _dequantize, _detect, _IncompatibleKeys, _Style

PAIRS = {
    "tok_embeddings.weight": "model.embed_tokens.weight",
    "layers.11.attention_norm.weight": "model.layers.11.input_layernorm.weight",
    "layers.0.attention.wq.weight": "model.layers.0.self_attn.q_proj.weight",
    "layers.0.attention.wk.weight": "model.layers.0.self_attn.k_proj.weight",
    "layers.0.attention.wv.weight": "model.layers.0.self_attn.v_proj.weight",
    "layers.0.attention.wo.weight": "model.layers.0.self_attn.o_proj.weight",
    "layers.0.ffn_norm.weight": "model.layers.0.post_attention_layernorm.weight",
    "layers.0.feed_forward.w1.weight": "model.layers.0.mlp.gate_proj.weight",
    "layers.0.feed_forward.w2.weight": "model.layers.0.mlp.down_proj.weight",
    "layers.0.feed_forward.w3.weight": "model.layers.0.mlp.up_proj.weight",
    "norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}


@pytest.mark.parametrize(("meta", "hf"), PAIRS.items())
def test_names_go_both_ways(meta: str, hf: str) -> None:
    assert canonical(meta)[0] == canonical(hf)[0] == hf
    assert spelled(hf, "meta") == meta and spelled(hf, "hf") == hf
    for prefix in ("module.", "_orig_mod.", "module._orig_mod.", "language_model."):
        assert canonical(prefix + hf)[0] == hf and canonical(prefix + meta)[0] == hf
    assert canonical(hf.removeprefix("model."))[0] == hf


@pytest.mark.parametrize(
    "key",
    ["x", "layers.01.ffn_norm.weight", "layers.-1.ffn_norm.weight", "layers.0.wq", "model.", ""],
)
def test_unknown_names_stay(key: str) -> None:
    assert canonical(key) == (key, None)


def test_tables_are_ignored() -> None:
    for key in ("rope.freqs", "layers.3.attention.inner_attention.rope.freqs"):
        assert ignored(key)
    assert ignored("model.layers.0.self_attn.rotary_emb.inv_freq")
    assert not ignored("tok_embeddings.weight")


def test_style_is_detected_once() -> None:
    assert _detect({}) == _Style("meta")
    assert _detect({"norm.weight": 0, "layers.0.ffn_norm.weight": 0}) == _Style("meta")
    assert _detect({"module.model.embed_tokens.weight": 0}) == _Style("hf", "module.")
    bare = _detect({"lm_head.weight": 0, "layers.0.mlp.up_proj.weight": 0})
    assert bare == _Style("hf", "", bare=True)
    assert bare.spell("model.norm.weight") == "norm.weight"
    with pytest.raises(StateDictError, match="mixes"):
        _detect({"tok_embeddings.weight": 0, "model.embed_tokens.weight": 0})


def test_incompatible_keys_read_like_torch() -> None:
    assert repr(_IncompatibleKeys([], [])) == "<All keys matched successfully>"
    assert str(_IncompatibleKeys([], [])) == "<All keys matched successfully>"
    keys = _IncompatibleKeys(["a"], [])
    assert repr(keys) == "_IncompatibleKeys(missing_keys=['a'], unexpected_keys=[])"
    missing, unexpected = keys
    assert missing == ["a"] and unexpected == []


def test_values() -> None:
    plain = np.arange(6, dtype=np.float32).reshape(2, 3)
    for value in (plain, plain.tolist(), plain.astype(np.float64), plain.astype(int), plain.T.T):
        tensor = _as_tensor(value)
        assert tensor is not None and tensor.dtype == "float32" and tensor.shape == (2, 3)
        assert bytes(tensor.data) == plain.tobytes()
    tensor = _as_tensor(plain.T)  # not contiguous
    assert tensor is not None and bytes(tensor.data) == plain.T.copy().tobytes()
    tensor = _as_tensor(plain.astype(">f4"))
    assert tensor is not None and bytes(tensor.data) == plain.tobytes()
    half = _as_tensor(plain.astype(np.float16))
    assert half is not None and half.dtype == "float16"
    raw = _as_tensor((plain.tobytes(), (2, 3)))
    assert raw is not None and raw.shape == (2, 3) and raw.dtype == "float32"
    brain = _as_tensor((bytes(4), (2,), "bfloat16"))
    assert brain is not None and brain.dtype == "bfloat16"
    for bad in ("text", b"bytes", None, object(), (bytes(3), (2,)), [[1], [2, 3]], [1j]):
        assert _as_tensor(bad) is None


def test_torch_values() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    t = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    tensor = _as_tensor(torch.nn.Parameter(t))
    assert tensor is not None and bytes(tensor.data) == t.numpy().tobytes()
    brain = _as_tensor(t.bfloat16())
    assert brain is not None and brain.dtype == "bfloat16" and len(brain.data) == 12


def test_blocks_are_dequantized_by_their_definition() -> None:
    rng = np.random.default_rng(1)
    d = np.float16(0.5)
    m = np.float16(-2)
    q = rng.integers(0, 16, 32)
    packed = bytes(int(q[i]) | int(q[i + 16]) << 4 for i in range(16))
    q4_1 = d.tobytes() + m.tobytes() + packed
    np.testing.assert_array_equal(
        _dequantize(np.frombuffer(q4_1 * 2, np.uint8), "q4_1"), np.tile(0.5 * q - 2, (2, 1))
    )
    q4_0 = d.tobytes() + packed
    np.testing.assert_array_equal(
        _dequantize(np.frombuffer(q4_0, np.uint8), "q4_0"), [0.5 * (q - 8)]
    )
    signed = rng.integers(-128, 128, 32).astype(np.int8)
    q8_0 = d.tobytes() + signed.tobytes()
    np.testing.assert_array_equal(
        _dequantize(np.frombuffer(q8_0, np.uint8), "q8_0"), [0.5 * signed.astype(float)]
    )


def test_blocks_are_dequantized_as_gguf_does() -> None:
    path = Path(__file__).parents[2] / "simd" / "pure" / "testdata" / "dequantized.json"
    golden = json.loads(path.read_text())
    assert set(golden) >= {"Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"}
    for name, case in golden.items():
        got = _dequantize(np.frombuffer(bytes.fromhex(case["hex"]), np.uint8), name.lower())
        want = np.array([int(b, 16) for b in case["bits"]], np.uint32)
        np.testing.assert_array_equal(got.reshape(-1).view(np.uint32), want, err_msg=name)
