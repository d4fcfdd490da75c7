#!/usr/bin/env python3
"""Model files for .ci/bench_peers.py: random weights of a shape, or a GGUF file's
own weights, in the forms that the engines read.

    .ci/bench_models.py DIR SHAPE FORM...

SHAPE is tinyllama-1.1b, llama-3.2-1b, 15m or the path of a GGUF file. FORM is hf
(config.json and model.safetensors in bf16) or a GGUF type: f16, bf16, q8_0, q4_0,
q4_1, q4_k_m. Files land in DIR/SHAPE; those that are there are kept. Weights are
N(0, 0.02), the same in each form; quantized ones are made by llama.cpp's own
llama_model_quantize. It runs in the venv of llama-cpp-python and gguf.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.quants import dequantize

# hidden, inter, layers, heads, kv heads, vocabulary, tied: as llama-go bench has them.
SHAPES = {
    "tinyllama-1.1b": (2048, 5632, 22, 32, 4, 32000, False),
    "llama-3.2-1b": (2048, 8192, 16, 32, 8, 128256, True),
    "15m": (288, 768, 6, 6, 6, 32000, True),
    "tiny": (256, 512, 2, 4, 2, 512, True),
}
POSITIONS = 8192
QUANTIZED = {"q8_0": "Q8_0", "q4_0": "Q4_0", "q4_1": "Q4_1", "q4_k_m": "Q4_K_M"}
FLOATS = {"f16": GGMLQuantizationType.F16, "bf16": GGMLQuantizationType.BF16}

Array = npt.NDArray[Any]

# GGUF's names of a layer's tensors, and Hugging Face's.
LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
WHOLE = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}


def hf_name(gguf: str) -> str:
    name = gguf.removesuffix(".weight")
    if name in WHOLE:
        return WHOLE[name] + ".weight"
    _, layer, part = name.split(".")
    return f"model.layers.{layer}.{LAYER[part]}.weight"


def to_bf16(x: Array) -> Array:
    """The upper halves of float32, rounded to nearest even."""
    bits = x.astype(np.float32).view(np.uint32)
    out: Array = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    return out


class Random:
    """Random weights of a shape."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.hidden, self.inter, self.layers, self.heads, self.kv, self.vocab, self.tied = SHAPES[
            name
        ]
        self.head = self.hidden // self.heads
        self.theta, self.eps = 10000.0, 1e-5

    def tensors(self) -> list[tuple[str, tuple[int, ...]]]:
        h, kv = self.hidden, self.kv * self.head
        part = {
            "attn_norm": (h,),
            "attn_q": (h, h),
            "attn_k": (kv, h),
            "attn_v": (kv, h),
            "attn_output": (h, h),
            "ffn_norm": (h,),
            "ffn_gate": (self.inter, h),
            "ffn_up": (self.inter, h),
            "ffn_down": (h, self.inter),
        }
        out: list[tuple[str, tuple[int, ...]]] = [("token_embd.weight", (self.vocab, h))]
        for i in range(self.layers):
            out += [(f"blk.{i}.{n}.weight", shape) for n, shape in part.items()]
        out.append(("output_norm.weight", (h,)))
        if not self.tied:
            out.append(("output.weight", (self.vocab, h)))
        return out

    def read(self, name: str, shape: tuple[int, ...]) -> Array:
        if len(shape) == 1:
            return np.ones(shape, np.float32)
        rng = np.random.default_rng([26, *name.encode()])
        return rng.standard_normal(shape, np.float32) * np.float32(0.02)


class File(Random):
    """The weights of a GGUF file, dequantized."""

    def __init__(self, path: Path) -> None:
        self.reader = GGUFReader(path)
        self.by_name = {t.name: t for t in self.reader.tensors}

        def key(name: str) -> Any:
            return self.reader.fields[f"llama.{name}"].contents()

        self.hidden, self.inter = key("embedding_length"), key("feed_forward_length")
        self.layers, self.heads = key("block_count"), key("attention.head_count")
        self.kv = key("attention.head_count_kv")
        self.tied = "output.weight" not in self.by_name
        self.vocab = int(self.by_name["token_embd.weight"].shape[1])
        self.head = self.hidden // self.heads
        self.theta, self.eps = key("rope.freq_base"), key("attention.layer_norm_rms_epsilon")

    def read(self, name: str, shape: tuple[int, ...]) -> Array:
        tensor = self.by_name[name]
        x: Array = dequantize(tensor.data, tensor.tensor_type).reshape(shape)
        for part, heads in (("attn_q", self.heads), ("attn_k", self.kv)):
            if part in name:  # rows 2i, 2i+1 of a head become i, i+half
                x = x.reshape(heads, self.head // 2, 2, -1).swapaxes(1, 2).reshape(shape)
        return x


def write_hf(model: Random, folder: Path) -> None:
    """config.json and model.safetensors, tensor by tensor."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": model.hidden,
        "intermediate_size": model.inter,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.kv,
        "vocab_size": model.vocab,
        "max_position_embeddings": POSITIONS,
        "rms_norm_eps": float(model.eps),
        "rope_theta": float(model.theta),
        "tie_word_embeddings": model.tied,
        "torch_dtype": "bfloat16",
        "hidden_act": "silu",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "attention_bias": False,
        "mlp_bias": False,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in model.tensors():
        size = 2 * int(np.prod(shape))
        header[hf_name(name)] = {
            "dtype": "BF16",
            "shape": list(shape),
            "data_offsets": [at, at + size],
        }
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with (folder / "model.part").open("wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for name, shape in model.tensors():
            f.write(to_bf16(model.read(name, shape)).tobytes())
    (folder / "model.part").rename(folder / "model.safetensors")


def write_gguf(model: Random, path: Path, kind: GGMLQuantizationType) -> None:
    """A GGUF file without a vocabulary: tokens are ids."""
    part = path.with_suffix(".part")
    w = GGUFWriter(part, "llama")
    w.add_context_length(POSITIONS)
    w.add_embedding_length(model.hidden)
    w.add_feed_forward_length(model.inter)
    w.add_block_count(model.layers)
    w.add_head_count(model.heads)
    w.add_head_count_kv(model.kv)
    w.add_rope_dimension_count(model.head)
    w.add_rope_freq_base(model.theta)
    w.add_layer_norm_rms_eps(model.eps)
    w.add_vocab_size(model.vocab)
    w.add_tokenizer_model("no_vocab")
    for name, shape in model.tensors():
        vector = len(shape) == 1
        dtype = np.dtype(np.float32) if vector else np.dtype(np.float16)
        raw = None if vector else kind
        size = int(np.prod(shape)) * dtype.itemsize
        w.add_tensor_info(name, shape, dtype, size, raw)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_ti_data_to_file()
    for name, shape in model.tensors():
        x = model.read(name, shape)
        if len(shape) == 2:
            x = to_bf16(x) if kind == GGMLQuantizationType.BF16 else x.astype(np.float16)
        w.write_tensor_data(x)
    w.close()
    part.rename(path)


def quantize(source: Path, path: Path, kind: str) -> None:
    import llama_cpp

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}")
    params.nthread = os.cpu_count() or 1
    part = path.with_suffix(".part")
    failed = llama_cpp.llama_model_quantize(
        str(source).encode(), str(part).encode(), ctypes.byref(params)
    )
    if failed:
        sys.exit(f"llama_model_quantize to {kind} failed")
    part.rename(path)


def main() -> int:
    if len(sys.argv) < 4:
        print(__doc__, file=sys.stderr)
        return 2
    base, shape, forms = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    model = Random(shape) if shape in SHAPES else File(Path(shape))
    folder = base / Path(shape).stem.lower() if shape not in SHAPES else base / shape
    folder.mkdir(parents=True, exist_ok=True)
    for form in forms:
        if form == "hf":
            if not (folder / "hf" / "model.safetensors").exists():
                write_hf(model, folder / "hf")
            continue
        path = folder / f"{form}.gguf"
        if path.exists():
            continue
        if form in FLOATS:
            write_gguf(model, path, FLOATS[form])
            continue
        source = folder / "f16.gguf"
        if not source.exists():
            write_gguf(model, source, GGMLQuantizationType.F16)
        quantize(source, path, QUANTIZED[form])
    return 0


if __name__ == "__main__":
    sys.exit(main())
