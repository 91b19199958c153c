"""A GGUF file of a few hundred kilobytes that llama.cpp runs like any other: a llama of random weights that writes letters without end.

It stands for a real model where its words do not matter: slots, cancelling, grammars, logprobs and clean ends are llama.cpp's own.
"""

import random
import struct
from array import array
from pathlib import Path

__all__ = ["write_tiny_gguf"]

_WIDTH, _FEED, _HEADS, _ALIGN = 64, 128, 4, 32
_U32, _F32, _I32, _STRING, _ARRAY = 4, 6, 5, 8, 9
_CONTROL, _NORMAL, _BYTE, _UNKNOWN = 3, 1, 6, 2
_TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"

_TOKENS = (
    [("<unk>", _UNKNOWN), ("<s>", _CONTROL), ("</s>", _CONTROL)]
    + [(f"<0x{byte:02X}>", _BYTE) for byte in range(256)]
    + [(chr(code), _NORMAL) for code in range(33, 127)]
    + [("▁", _NORMAL)]
)
_FIRST_LETTER = 3 + 256


def write_tiny_gguf(path: Path, *, blocks: int = 2, context: int = 65536) -> Path:
    """Write the file: the same bytes each time."""
    dice = random.Random(1)

    def matrix(columns, rows, scale=0.02):
        return (columns, rows), array("f", (dice.gauss(0, scale) for _ in range(columns * rows)))

    ones = (_WIDTH,), array("f", [1.0] * _WIDTH)
    vocabulary = len(_TOKENS)
    embedding, output = matrix(_WIDTH, vocabulary, 1.0), matrix(_WIDTH, vocabulary, 0.5)
    for token in range(vocabulary):  # column 0 is the same in every state, so it can forbid a token: only letters are ever written
        embedding[1][token * _WIDTH] = 4.0
        output[1][token * _WIDTH] = 1.0 if token >= _FIRST_LETTER else -20.0
    tensors = {"token_embd.weight": embedding, "output_norm.weight": ones, "output.weight": output}
    for n in range(blocks):
        tensors |= {f"blk.{n}.attn_norm.weight": ones, f"blk.{n}.ffn_norm.weight": ones}
        tensors |= {f"blk.{n}.attn_{name}.weight": matrix(_WIDTH, _WIDTH) for name in ("q", "k", "v", "output")}
        tensors |= {f"blk.{n}.ffn_{name}.weight": matrix(_WIDTH, _FEED) for name in ("gate", "up")}
        tensors[f"blk.{n}.ffn_down.weight"] = matrix(_FEED, _WIDTH)

    facts = [
        _fact("general.architecture", _STRING, "llama"),
        _fact("general.name", _STRING, "tiny"),
        _fact("llama.context_length", _U32, context),
        _fact("llama.embedding_length", _U32, _WIDTH),
        _fact("llama.block_count", _U32, blocks),
        _fact("llama.feed_forward_length", _U32, _FEED),
        _fact("llama.attention.head_count", _U32, _HEADS),
        _fact("llama.attention.head_count_kv", _U32, _HEADS),
        _fact("llama.attention.layer_norm_rms_epsilon", _F32, 1e-5),
        _fact("llama.rope.dimension_count", _U32, _WIDTH // _HEADS),
        _fact("tokenizer.ggml.model", _STRING, "llama"),
        _facts("tokenizer.ggml.tokens", _STRING, [text for text, _ in _TOKENS]),
        _facts("tokenizer.ggml.scores", _F32, [0.0] * vocabulary),
        _facts("tokenizer.ggml.token_type", _I32, [kind for _, kind in _TOKENS]),
        _fact("tokenizer.ggml.bos_token_id", _U32, 1),
        _fact("tokenizer.ggml.eos_token_id", _U32, 2),
        _fact("tokenizer.ggml.unknown_token_id", _U32, 0),
        _fact("tokenizer.chat_template", _STRING, _TEMPLATE),
    ]
    heads, bodies = [], b""
    for name, (shape, values) in tensors.items():
        bodies += bytes(-len(bodies) % _ALIGN)
        heads.append(_text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, len(bodies)))
        bodies += values.tobytes()
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(facts)) + b"".join(facts) + b"".join(heads)
    path.write_bytes(head + bytes(-len(head) % _ALIGN) + bodies)
    return path


def _text(value):
    encoded = value.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _value(kind, value):
    return _text(value) if kind == _STRING else struct.pack({_U32: "<I", _I32: "<i", _F32: "<f"}[kind], value)


def _fact(key, kind, value):
    return _text(key) + struct.pack("<I", kind) + _value(kind, value)


def _facts(key, kind, values):
    return _text(key) + struct.pack("<IIQ", _ARRAY, kind, len(values)) + b"".join(_value(kind, value) for value in values)
