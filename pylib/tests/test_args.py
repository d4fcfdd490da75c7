from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llama import ConfigError, MissingFileError, ModelArgs, Transformer


def write(path: Path, data: Any) -> Path:
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_defaults() -> None:
    a = ModelArgs()
    assert (a.hidden_size, a.vocab_size, a.num_hidden_layers) == (4096, 32000, 32)
    assert (a.num_attention_heads, a.num_key_value_heads, a.head_dim) == (32, 32, 128)
    assert (a.max_seq_len, a.max_batch_size, a.intermediate_size) == (2048, 32, 11008)
    assert a.rms_norm_eps == 1e-6 and a.rope_theta == 10000.0


def test_both_namings_are_one_setting() -> None:
    meta = ModelArgs(dim=128, n_layers=3, n_heads=8, n_kv_heads=2, norm_eps=1e-4, dtype="bf16")
    hf = ModelArgs(
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=8,
        num_key_value_heads=2,
        rms_norm_eps=1e-4,
        torch_dtype="bf16",
    )
    assert meta == hf
    assert (hf.dim, hf.n_layers, hf.n_heads, hf.n_kv_heads, hf.norm_eps) == (128, 3, 8, 2, 1e-4)
    hf.n_layers = 5
    assert hf.num_hidden_layers == 5
    with pytest.raises(ValueError, match=r"dim=1 .*hidden_size=2|hidden_size=2 .*dim=1"):
        ModelArgs(dim=1, hidden_size=2)


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({}, 11008),
        ({"dim": 2048}, 5632),
        ({"dim": 5120}, 13824),
        ({"dim": 8192, "multiple_of": 4096, "ffn_dim_multiplier": 1.3}, 28672),
        ({"dim": 4096, "multiple_of": 1024, "ffn_dim_multiplier": 1.3}, 14336),
        ({"intermediate_size": 100}, 100),
    ],
)
def test_ffn_formula(changes: dict[str, Any], size: int) -> None:
    assert ModelArgs(**changes).intermediate_size == size


def test_settings_follow_until_they_are_given() -> None:
    a = ModelArgs(dim=64, n_heads=4)
    a.dim = 128
    assert (a.head_dim, a.intermediate_size) == (32, 512)
    a.vocab_size = 77  # Meta's code sets it from the tokenizer
    assert a.to_config()["vocab_size"] == 77


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"dim": 100, "n_heads": 3}, r"\(100\) is not a multiple of .* attention heads \(3\)\."),
        ({"n_heads": 32, "n_kv_heads": 5}, r"\(32\) is not a multiple of .*\(5\)"),
        ({"n_kv_heads": 0}, "num_key_value_heads must be between 1"),
        ({"dim": 12, "n_heads": 4}, "head_dim must be even .* 3"),
        ({"dim": -4096}, "-4096"),
        ({"n_layers": 10**9}, "1000000000"),
        ({"vocab_size": 0}, "vocab_size must be between"),
        ({"rope_theta": 0}, "rope_theta must be positive"),
        ({"rope_theta": float("nan")}, "nan"),
        ({"rope_theta": 1e308}, "1e[+]308"),
        ({"rms_norm_eps": -1e-6}, "-1e-06"),
        ({"rms_norm_eps": "1e-6"}, "must be a number"),
        ({"dim": 4096.0}, "must be an integer"),
        ({"dim": True}, "must be an integer"),
        ({"max_seq_len": 0}, "max_seq_len must be between 1"),
        ({"max_seq_len": 99, "max_position_embeddings": 10}, "between 1 and 10, got 99"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2}}, "'yarn'"),
        ({"rope_scaling": {"rope_type": "linear"}}, "factor"),
        ({"hidden_act": "gelu"}, "'gelu'"),
        ({"attention_bias": True}, "attention_bias"),
        ({"torch_dtype": "int8"}, "int8"),
        ({"eos_token_id": [-1]}, "eos_token_id"),
    ],
)
def test_impossible_values_are_named(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        ModelArgs(**changes)


def test_head_dim_frees_the_width() -> None:
    assert ModelArgs(dim=100, n_heads=3, head_dim=64).head_dim == 64


def test_a_typo_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="hiden_size"):
        ModelArgs(hiden_size=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="max_len"):
        ModelArgs().replace(max_len=1)
    with pytest.raises(TypeError, match="dict"):
        Transformer({"dim": 64})  # type: ignore[arg-type]


def test_hugging_face_file(tmp_path: Path) -> None:
    file = write(
        tmp_path / "config.json",
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": 2048,
            "num_hidden_layers": 16,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "intermediate_size": 8192,
            "vocab_size": 128256,
            "max_position_embeddings": 131072,
            "rms_norm_eps": 1e-05,
            "rope_theta": 500000.0,
            "rope_scaling": {
                "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                "original_max_position_embeddings": 8192, "rope_type": "llama3",
            },
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
            "eos_token_id": [128001, 128009],
            "head_dim": None,
            "use_cache": True,
        },
    )  # fmt: skip
    for path in (file, tmp_path, str(file)):
        a = ModelArgs.from_config_file(path)
        assert a.max_position_embeddings == 131072 and a.max_seq_len == 2048
        config = a.to_config()
        assert config["rope_scaling"] == {
            "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
        }  # fmt: skip
        assert config["eos_token_id"] == [128001, 128009] and config["dtype"] == "bfloat16"
        assert a.num_parameters() == 1_235_814_400


def test_missing_values_of_a_hugging_face_file(tmp_path: Path) -> None:
    a = ModelArgs.from_config_file(write(tmp_path / "config.json", {"hidden_size": 4096}))
    assert a.rms_norm_eps == 1e-6 and a.intermediate_size == 11008
    assert a.vocab_size == 32000 and a.rope_theta == 10000.0


def test_transformers_5_rope_parameters(tmp_path: Path) -> None:
    data = {"hidden_size": 64, "num_attention_heads": 4, "dtype": "float32"}
    rope = {"rope_type": "default", "rope_theta": 123.0}
    a = ModelArgs.from_config_file(
        write(tmp_path / "config.json", {**data, "rope_parameters": rope})
    )
    assert a.rope_theta == 123.0 and a.to_config()["rope_scaling"] == {}
    assert a.torch_dtype == "float32"
    rope = {"rope_type": "linear", "factor": 4.0, "rope_theta": 5.0}
    a = ModelArgs.from_config_file(
        write(tmp_path / "config.json", {**data, "rope_parameters": rope})
    )
    assert a.rope_theta == 5.0
    assert a.to_config()["rope_scaling"] == {"rope_type": "linear", "factor": 4.0}


def test_meta_file(tmp_path: Path) -> None:
    data = {"dim": 4096, "n_layers": 32, "n_heads": 32, "multiple_of": 256, "vocab_size": -1}
    a = ModelArgs.from_config_file(write(tmp_path / "params.json", data))
    assert (a.rms_norm_eps, a.vocab_size, a.intermediate_size) == (1e-5, -1, 11008)
    with pytest.raises(ValueError, match="vocab_size is -1"):
        a.to_config()
    llama3 = {
        "dim": 2048, "n_layers": 16, "n_heads": 32, "n_kv_heads": 8, "vocab_size": 128256,
        "ffn_dim_multiplier": 1.5, "multiple_of": 256, "norm_eps": 1e-5, "use_scaled_rope": True,
    }  # fmt: skip
    a = ModelArgs.from_config_file(write(tmp_path / "params.json", llama3))
    assert a.rope_theta == 500000.0 and a.intermediate_size == 8192
    assert a.to_config()["rope_scaling"]["factor"] == 32.0
    a = ModelArgs.from_config_file(write(tmp_path / "params.json", {**llama3, "dim": 4096}))
    assert a.to_config()["rope_scaling"]["factor"] == 8.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"hidden_size": NaN}',
        '{"hidden_size": 64, "hidden_size": 65}',
        '{"hidden_size": "64"}',
        '{"hidden_size": 64, "num_attention_heads": 7}',
        '{"hidden_size": 64, "rope_parameters": 3}',
        '{"hidden_size": 64, "rope_scaling": []}',
        "[" * 100_000,
        '{"model_type": "gpt2", "hidden_size": 64}',
        '{"architectures": ["MistralForCausalLM"], "hidden_size": 64}',
        '{"dim": 64, "n_layers": 1}',
    ],
)
def test_bad_files(tmp_path: Path, text: str) -> None:
    file = write(tmp_path / "config.json", text)
    with pytest.raises(ValueError, match=r"config\.json"):
        ModelArgs.from_config_file(file)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ConfigError, match="not valid JSON"):
        ModelArgs.from_config_file(tmp_path)


def test_absent_files(tmp_path: Path) -> None:
    for path in (tmp_path / "no" / "config.json", tmp_path):
        with pytest.raises(MissingFileError) as caught:
            ModelArgs.from_config_file(path)
        assert isinstance(caught.value, FileNotFoundError) and caught.value.hint


def test_unknown_keys_give_one_warning(tmp_path: Path) -> None:
    data = {"hidden_size": 64, "num_attention_heads": 4, "frobnicate": 1, "wibble": 2}
    with pytest.warns(UserWarning, match="frobnicate, wibble") as caught:
        ModelArgs.from_config_file(write(tmp_path / "config.json", data))
    assert len(caught) == 1


def test_shown_in_a_notebook() -> None:
    bundle = ModelArgs(eos_token_id=2)._repr_mimebundle_()
    assert "4096" in bundle["text/plain"] and "<td" in bundle["text/html"]
    assert repr(ModelArgs()).startswith("ModelArgs(hidden_size=4096")


def test_module_tree_is_torch_like() -> None:
    text = repr(Transformer(ModelArgs(dim=64, n_heads=4, n_kv_heads=2, n_layers=3, vocab_size=10)))
    assert text.startswith("Transformer(\n  (tok_embeddings): Embedding(10, 64)\n")
    assert "    (0-2): 3 x TransformerBlock(\n      (attention): Attention(\n" in text
    assert "(wk): Linear(in_features=64, out_features=32, bias=False)" in text
    model = Transformer(ModelArgs(dim=64, n_heads=4, n_layers=2, vocab_size=10))
    names = [name for name, _ in model.named_modules()]
    assert names[0] == "" and "layers.1.attention.wq" in names
