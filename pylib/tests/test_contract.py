"""The code blocks of the API contract, run as they are written.

Only the sizes of models differ: the folders that the blocks name hold a tiny model
here, and the one block whose model has no file runs in its real size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from . import tiny

pytestmark = pytest.mark.usefixtures("kernel")


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A working folder in which the paths of the blocks exist."""
    tiny.write_model(tmp_path / "path" / "to" / "model", tokenizer=False,
                     max_position_embeddings=4096)  # fmt: skip
    (tmp_path / "path" / "to" / "tokenizer.model").write_bytes(tiny.sentencepiece())
    (tmp_path / "path" / "to" / "config.json").write_text(
        (tmp_path / "path" / "to" / "model" / "config.json").read_text()
    )
    tiny.write_model(tmp_path / "models" / "llama-7b", tokenizer=False,
                     max_position_embeddings=2048)  # fmt: skip
    (tmp_path / "tokenizer.model").write_bytes(tiny.sentencepiece())
    monkeypatch.chdir(tmp_path)
    return {}


MODEL_ARGS = """
from llama.model import ModelArgs
model_args = ModelArgs()                                          # default values
model_args = ModelArgs(hidden_size=4096, vocab_size=32000, num_hidden_layers=32,
                       num_attention_heads=32, max_seq_len=2048)  # custom values
model_args = ModelArgs.from_config_file("path/to/config.json")    # from a config.json file
"""

TRANSFORMER = """
from llama.model import Transformer
model = Transformer(model_args)
sequences = [[1, 2, 3, 4, 5]]            # token sequences
logits = model.forward(sequences)
generated = model.generate(prompt_tokens=sequences, max_gen_len=10, temperature=0.7, top_p=0.9)
"""

LLAMA = """
from llama.generation import Llama
llama = Llama.build(ckpt_dir="path/to/model", tokenizer_path="path/to/tokenizer.model",
                    max_seq_len=2048, max_batch_size=1)           # build from a directory
generated_tokens, logprobs = llama.generate(prompt_tokens=[[1, 10, 20, 30]], max_gen_len=20,
                                            temperature=0.6, top_p=0.9, logprobs=True)
"""

BASIC = """
from llama.model import ModelArgs, Transformer                    # basic model creation
args = ModelArgs(hidden_size=2048, num_hidden_layers=16)
model = Transformer(args)
output = model.forward([[1, 2, 3]])
"""

FROM_FILE = """
from llama.generation import Llama
from llama.model import create_transformer_from_config
model = create_transformer_from_config("models/llama-7b/config.json",
                                       max_seq_len=512)           # overrides the file's value

llama = Llama.build(ckpt_dir="models/llama-7b", tokenizer_path="tokenizer.model",
                    max_seq_len=2048, max_batch_size=1)           # high-level generation
tokens, logprobs = llama.generate(prompt_tokens=[[1, 10, 20]], max_gen_len=50,
                                  temperature=0.7)                # logprobs is None
"""

ERRORS = """
from llama.model import ModelArgs, Transformer
try:
    model_args = ModelArgs.from_config_file("config.json")
    model = Transformer(model_args)
except FileNotFoundError:
    print("Config file not found")
except ValueError as e:
    print(f"Invalid configuration: {e}")
"""


def test_model_args(names: dict[str, Any]) -> None:
    exec(MODEL_ARGS, names)
    assert names["model_args"].hidden_size == 64


def test_transformer(names: dict[str, Any]) -> None:
    exec(MODEL_ARGS + TRANSFORMER, names)
    assert names["logits"].shape == (1, 5, tiny.VOCAB)
    (row,) = names["generated"]
    assert len(row) <= 10 and all(type(t) is int for t in row)
    assert names["model"].eval() is names["model"]


def test_llama(names: dict[str, Any]) -> None:
    exec(LLAMA, names)
    (row,), (probs,) = names["generated_tokens"], names["logprobs"]
    assert len(row) == len(probs) <= 20 and all(p <= 0 for p in probs)


def test_basic_creation(names: dict[str, Any]) -> None:
    """0.95 billion random parameters in float16."""
    free = next(
        (int(line.split()[1]) >> 20
         for line in Path("/proc/meminfo").read_text().splitlines()
         if line.startswith("MemAvailable")),
        0,
    )  # fmt: skip
    if free < 4:
        pytest.skip(f"{free} GiB are free, the example needs 4")
    exec(BASIC, names)
    assert names["output"].shape == (1, 3, 32000)
    assert names["model"].get_memory_footprint() == 2 * names["model"].num_parameters()


def test_from_a_config_file(names: dict[str, Any]) -> None:
    exec(FROM_FILE, names)
    assert names["model"].args.max_seq_len == 512
    assert names["logprobs"] is None and len(names["tokens"][0]) <= 50


def test_errors(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    exec(ERRORS, names)
    assert capsys.readouterr().out == "Config file not found\n"
    Path("config.json").write_text('{"hidden_size": 100, "num_attention_heads": 3}')
    exec(ERRORS, names)
    out = capsys.readouterr().out
    assert out.startswith("Invalid configuration: ")
    assert "The hidden size (100) is not a multiple of the number of attention heads (3)." in out
