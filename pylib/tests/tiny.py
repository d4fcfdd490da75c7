"""Small models on disk, the same bytes every time: config, safetensors, tokenizer."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

VOCAB = 304
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": VOCAB,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "hidden_act": "silu",
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "float32",
}
_NAMES = {np.dtype("f4"): "F32", np.dtype("f2"): "F16"}


def weights(config: Mapping[str, Any] = CONFIG, seed: int = 0) -> dict[str, np.ndarray]:
    """Return random weights by Hugging Face's names, large enough to make logits differ."""
    rng = np.random.default_rng(seed)
    hidden, ffn = config["hidden_size"], config["intermediate_size"]
    head = config.get("head_dim", hidden // config["num_attention_heads"])
    q, kv = head * config["num_attention_heads"], head * config["num_key_value_heads"]
    dtype = {"float32": np.float32, "float16": np.float16}[config["torch_dtype"]]

    def matrix(rows: int, columns: int) -> np.ndarray:
        return rng.normal(0, 0.15, (rows, columns)).astype(dtype)

    def norm() -> np.ndarray:
        return rng.uniform(0.5, 1.5, hidden).astype(dtype)

    out = {"model.embed_tokens.weight": matrix(config["vocab_size"], hidden)}
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        out[layer + "input_layernorm.weight"] = norm()
        out[layer + "self_attn.q_proj.weight"] = matrix(q, hidden)
        out[layer + "self_attn.k_proj.weight"] = matrix(kv, hidden)
        out[layer + "self_attn.v_proj.weight"] = matrix(kv, hidden)
        out[layer + "self_attn.o_proj.weight"] = matrix(hidden, q)
        out[layer + "post_attention_layernorm.weight"] = norm()
        out[layer + "mlp.gate_proj.weight"] = matrix(ffn, hidden)
        out[layer + "mlp.up_proj.weight"] = matrix(ffn, hidden)
        out[layer + "mlp.down_proj.weight"] = matrix(hidden, ffn)
    out["model.norm.weight"] = norm()
    if not config["tie_word_embeddings"]:
        out["lm_head.weight"] = matrix(config["vocab_size"], hidden)
    return out


def write_safetensors(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write a safetensors file: header size, JSON header, data."""
    header, offset = {}, 0
    for name, array in tensors.items():
        end = offset + array.nbytes
        header[name] = {
            "dtype": _NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for array in tensors.values():
            f.write(array.tobytes())


def write_model(folder: Path, *, seed: int = 0, tokenizer: bool = True, **changes: Any) -> Path:
    """Write a model's folder; ``changes`` go into the config (None removes a key)."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {k: v for k, v in {**CONFIG, **changes}.items() if v is not None}
    (folder / "config.json").write_text(json.dumps(config))
    write_safetensors(folder / "model.safetensors", weights(config, seed))
    if tokenizer:
        (folder / "tokenizer.model").write_bytes(sentencepiece())
    return folder


def sentencepiece() -> bytes:
    """Return a SentencePiece BPE model of VOCAB pieces (sentencepiece_model.proto)."""
    merges = ["▁t", "he", "in", "▁the", "an", "er", "▁a", "on", "or", "▁s", "en"]
    letters = ["▁", *"etaoinsrhldcumfpgwybvkxjqz.,'ABIO"]
    pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
    pieces += [(f"<0x{b:02X}>", 0.0, 6) for b in range(256)]
    normal = merges + letters
    pieces += [(text, -float(i), 1) for i, text in enumerate(normal)]
    pieces += [(f"unused{i}", 0.0, 5) for i in range(VOCAB - len(pieces))]
    assert len(pieces) == VOCAB
    out = b"".join(
        _field(1, _field(1, t.encode()) + b"\x15" + struct.pack("<f", s) + bytes([0x18, kind]))
        for t, s, kind in pieces
    )
    trainer = bytes([0x18, 2]) + bytes([0x98, 0x02, 1])  # model_type BPE, byte_fallback
    normalizer = _field(1, b"identity") + bytes([0x18, 1, 0x20, 0, 0x28, 1])
    return out + _field(2, trainer) + _field(3, normalizer)


def _field(number: int, data: bytes) -> bytes:
    size, length = len(data), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data
