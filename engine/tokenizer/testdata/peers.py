"""The libraries that made the vocabularies, as peers of the Go tests.

    peers.py make DIR MODEL      write crafted tokenizers to DIR, some from a tokenizer.model
    peers.py classes             print what classes of characters `tokenizers` sees
    peers.py KIND FILE           encode and decode what comes on standard input

KIND is json (tokenizer.json), bpe (a GGUF byte-level vocabulary as JSON), model
(a tokenizer.model) or pieces (a GGUF SentencePiece vocabulary as JSON). Each
line of input is {"text": base64, "ids": [...]}, each line of output
{"ids": ..., "plain": ..., "back": ..., "decoded": ...}: text with special tokens parsed
and not, the first decoded, and the given ids decoded.

Packages: tokenizers (0.22 or later), sentencepiece (0.2).
"""

import base64
import json
import random
import struct
import sys
from pathlib import Path

from sentencepiece import SentencePieceProcessor
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


# ---- GGUF vocabularies ----------------------------------------------------------


def gguf_bpe(file):
    v = json.loads(Path(file).read_text())
    merges = [tuple(m.split(" ")) for m in v["Merges"]]
    tok = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(v["Tokens"])}, merges=merges))
    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.pre_tokenizer = {
        "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), level]),
        "gpt-2": level,
    }[v["Pre"]]
    tok.decoder = decoders.ByteLevel()
    tok.add_special_tokens(
        [AddedToken(t, normalized=False, special=True) for t, kind in zip(v["Tokens"], v["Types"]) if kind == 3]
    )
    return tok


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(num, value):
    if isinstance(value, float):
        return varint(num << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(num << 3) + varint(value & (1 << 64) - 1)
    data = value.encode() if isinstance(value, str) else value
    return varint(num << 3 | 2) + varint(len(data)) + data


def model_bytes(pieces, fallback=True, dummy=True, squeeze=False, unk=0):
    """A SentencePiece BPE model of (text, score, type) pieces."""
    trainer = field(3, 2) + field(35, int(fallback)) + field(40, unk)
    normal = field(1, "identity") + field(3, int(dummy)) + field(4, int(squeeze))
    return (
        b"".join(field(1, field(1, t) + field(2, float(s)) + field(3, k)) for t, s, k in pieces)
        + field(2, trainer)
        + field(3, normal)
    )


def gguf_pieces(file):
    v = json.loads(Path(file).read_text())
    return model_bytes(list(zip(v["Tokens"], v["Scores"], v["Types"])), dummy=v["AddSpacePrefix"])


# ---- crafted tokenizers ---------------------------------------------------------

CORPUS = [
    "Hello world, it's the 1234567 tests we'll run! I'VE DON'T 'Tis you'Re",
    "   spaces\n\n\ttabs \r\n and    more   ",
    "the then there thesis thing three 33 333 3333",
    "Grüße aus Köln, naïve café – “quotes” … ½ ² ³ Ⅷ",
    "こんにちは世界 東京都 学校",
    "Привет мир где ты",
    "مرحبا بالعالم ١٢٣",
    "हिन्दी १२३ भाषा",
    "🌻🌻 👩‍👩‍👧 🇩🇪 ❤️",
    "def f(x):\n    return x ** 2  # comment\n\n\n",
    "aaaa aaaaaaaa abababab xyxyxy",
    "<|eot_id|> <tool> mask",
]


def trained(split, ignore_merges=False, initial=True, **model):
    tok = Tokenizer(models.BPE(**model))
    tok.pre_tokenizer = split
    tok.train_from_iterator(
        CORPUS * 8,
        trainers.BpeTrainer(
            vocab_size=900,
            show_progress=False,
            special_tokens=[model["unk_token"]] if "unk_token" in model else [],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if initial else [],
        ),
    )
    spec = json.loads(tok.to_str())
    if ignore_merges:  # words that no merges make
        for word in ["Ġwor", "thesisx", "Ġzzz", "qqq", "Ġ333"]:
            spec["model"]["vocab"].setdefault(word, len(spec["model"]["vocab"]))
        spec["model"]["ignore_merges"] = True
    return Tokenizer.from_str(json.dumps(spec))


def add_tokens(tok):
    tok.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|eot|>", "<|eot"])
    tok.add_tokens(
        [
            AddedToken("<tool>", normalized=False),
            AddedToken("mask", lstrip=True, rstrip=True),
            AddedToken("word", single_word=True),
            AddedToken("<l>", lstrip=True, normalized=False),
            AddedToken("<r>", rstrip=True),
            AddedToken("ß"),
            AddedToken("a b", normalized=True),
        ]
    )
    return tok


def byte_level(split, **kw):
    tok = add_tokens(trained(split, **kw))
    tok.decoder = decoders.ByteLevel()
    tok.post_processor = processors.Sequence(
        [
            processors.ByteLevel(),
            processors.TemplateProcessing(
                single="<|begin_of_text|> $A",
                special_tokens=[("<|begin_of_text|>", tok.token_to_id("<|begin_of_text|>"))],
            ),
        ]
    )
    return tok


def by_regex(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior, invert),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def spaced(normalizer, pre, fallback, decoder, normalized):
    """A tokenizer.json of the SentencePiece kind."""
    tok = trained(pre_tokenizers.Metaspace(), initial=False, unk_token="<unk>", fuse_unk=True)
    spec = json.loads(tok.to_str())
    vocab = spec["model"]["vocab"]
    if fallback:
        for b in range(256):
            vocab[f"<0x{b:02X}>"] = len(vocab)
    for ch in "éß東🌻1":  # not all characters are in the vocabulary
        gone = [t for t in vocab if ch in t]
        spec["model"]["merges"] = [m for m in spec["model"]["merges"] if not any(ch in p for p in m)]
        for t in gone:
            del vocab[t]
    spec["model"]["vocab"] = {t: i for i, t in enumerate(vocab)}
    spec["model"]["byte_fallback"] = fallback
    tok = Tokenizer.from_str(json.dumps(spec))
    tok.normalizer, tok.decoder = normalizer, decoder
    if pre:
        tok.pre_tokenizer = pre
    else:
        spec = json.loads(tok.to_str())
        spec["pre_tokenizer"] = None
        tok = Tokenizer.from_str(json.dumps(spec))
    tok.add_special_tokens([AddedToken(t, normalized=normalized, special=True) for t in ("<s>", "</s>", "<|end|>")])
    tok.add_tokens([AddedToken("mask", lstrip=True, normalized=False), AddedToken("a b", normalized=True)])
    return tok


def llama_decoder():
    return decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )


def crafted():
    level = pre_tokenizers.ByteLevel
    yield "llama3", byte_level(by_regex(LLAMA3))
    yield "llama3-ignore-merges", byte_level(by_regex(LLAMA3), ignore_merges=True)
    yield "qwen2", byte_level(by_regex(QWEN2, "removed", True))
    nfc = byte_level(by_regex(QWEN2))
    nfc.normalizer = normalizers.NFC()
    nfc.add_tokens([AddedToken("cafe\u0301", normalized=True), AddedToken("o\u0308", normalized=False)])
    yield "qwen2-nfc", nfc
    yield "gpt2-split", byte_level(by_regex(GPT2))
    yield "gpt2-prefix", byte_level(level(add_prefix_space=True))
    yield (
        "smollm",
        byte_level(
            pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), level(add_prefix_space=False)])
        ),
    )
    yield "digit-runs", byte_level(pre_tokenizers.Sequence([pre_tokenizers.Digits(), level(add_prefix_space=True)]))
    yield "missing-bytes", byte_level(level(add_prefix_space=False), initial=False)
    yield "unknown-bytes", byte_level(level(add_prefix_space=False), initial=False, unk_token="<unk>")
    yield (
        "unknown-bytes-fused",
        byte_level(level(add_prefix_space=False), initial=False, unk_token="<unk>", fuse_unk=True),
    )
    legacy = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    yield "spaced-legacy", spaced(legacy, None, True, llama_decoder(), False)
    yield "spaced-normalized", spaced(legacy, None, True, llama_decoder(), True)
    yield "spaced-unknown", spaced(legacy, None, False, llama_decoder(), False)
    for scheme in "first", "always", "never":
        for split in True, False:
            yield (
                f"metaspace-{scheme}-{split}",
                spaced(
                    None,
                    pre_tokenizers.Metaspace("▁", scheme, split),
                    split,
                    decoders.Metaspace("▁", scheme, split),
                    False,
                ),
            )


def crafted_models(path):
    sp = SentencePieceProcessor(model_file=path)
    kind = lambda i: 2 if sp.is_unknown(i) else 3 if sp.is_control(i) else 6 if sp.is_byte(i) else 1
    base = [(sp.id_to_piece(i), sp.get_score(i), kind(i)) for i in range(sp.get_piece_size())]
    rng = random.Random(7)
    user = [("<mask>", 0, 4), ("▁▁", 0, 4), ("Lily", 0, 4), ("Lil", 0, 4), ("a  b", 0, 4), ("  ", 0, 4), ("he▁", 0, 4)]
    extra = base + [u for u in user if u[0] not in {b[0] for b in base}]
    yield "spm-user", model_bytes(extra)
    yield "spm-user-squeeze", model_bytes(extra, squeeze=True)
    yield "spm-squeeze-no-dummy", model_bytes(base, dummy=False, squeeze=True)
    yield "spm-no-fallback", model_bytes([b for b in base if b[2] != 6], fallback=False)
    yield (
        "spm-unused",
        model_bytes([(t, s, 5 if k == 1 and len(t) > 1 and rng.random() < 0.4 else k) for t, s, k in base]),
    )
    yield "spm-ties", model_bytes([(t, float(int(s) // 9), k) for t, s, k in base], dummy=False)
    across = [(t, -100.0 - i, 1) for i, t in enumerate(("s▁", "s▁a", "▁a▁", "e▁t"))]
    yield "spm-across-words", model_bytes(base + [a for a in across if a[0] not in {b[0] for b in base}])


# ---- the peers ------------------------------------------------------------------


class HF:
    def __init__(self, tok):
        self.tok = tok

    def encode(self, raw, special):
        self.tok.encode_special_tokens = not special
        return self.tok.encode(raw.decode(), add_special_tokens=False).ids

    def decode(self, ids):
        return self.tok.decode(ids, skip_special_tokens=False)


class SPM:
    def __init__(self, model):
        self.sp = SentencePieceProcessor(model_proto=model)

    def encode(self, raw, special):
        return [] if special else self.sp.encode(raw)

    def decode(self, ids):
        return self.sp.decode(ids)


def peer(kind, file):
    if kind == "json":
        return HF(Tokenizer.from_file(file))
    if kind == "bpe":
        return HF(gguf_bpe(file))
    return SPM(gguf_pieces(file) if kind == "pieces" else Path(file).read_bytes())


def answer(p):
    for line in sys.stdin:
        case = json.loads(line)
        raw = base64.b64decode(case["text"])
        ids, plain = p.encode(raw, True), p.encode(raw, False)
        print(
            json.dumps({"ids": ids, "plain": plain, "back": p.decode(ids or plain), "decoded": p.decode(case["ids"])})
        )


def classes():
    """Ranges of the characters that match, from one string of all."""
    chars = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]

    def ranges(members):
        out = []
        for c in members:
            if out and out[-1][1] == c - 1:
                out[-1][1] = c
            else:
                out.append([c, c])
        return out

    def matches(pattern):
        left = set()
        text = "".join(map(chr, chars))
        for _, (start, end) in pre_tokenizers.Split(Regex(pattern), "removed").pre_tokenize_str(text):
            left.update(range(start, end))
        return ranges(c for i, c in enumerate(chars) if i not in left)

    pairs = "".join(chr(c) + "-" for c in chars)
    numeric = [
        chars[start // 2]
        for _, (start, end) in pre_tokenizers.Digits(True).pre_tokenize_str(pairs)
        if end == start + 1 and start % 2 == 0
    ]
    # An added token that must be a word of its own is found beside what is no word.
    tok = Tokenizer(models.BPE(vocab={"x": 0}, merges=[]))
    tok.add_tokens([AddedToken("w", single_word=True, normalized=False)])
    e = tok.encode("".join("-w" + chr(c) + "-" for c in chars))
    found = {start // 4 for start, _ in e.offsets}
    word = ranges(c for i, c in enumerate(chars) if i not in found)
    return {
        "word": word,
        "letter": matches(r"\p{L}"),
        "number": matches(r"\p{N}"),
        "space": matches(r"\s"),
        "numeric": ranges(numeric),
    }


def main(args):
    if args[0] == "make":
        for name, tok in crafted():
            tok.save(f"{args[1]}/{name}.json")
        for name, data in crafted_models(args[2]):
            Path(args[1], f"{name}.model").write_bytes(data)
    elif args[0] == "classes":
        print(json.dumps(classes()))
    else:
        answer(peer(*args))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
