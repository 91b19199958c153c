"""An embedding model small enough to be made in a test: real ONNX (a table of words and one layer of attention), a real tokenizer."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace

WORDS = ("[PAD]", "[UNK]", "question", "number", "is", "easy", "hard", "and", "long", "to", "think", "about")
_WIDTH = 8
_PLACED = (
    helper.make_node("Gather", ["table", "input_ids"], ["bare"]),
    helper.make_node("Shape", ["input_ids"], ["shape"]),
    helper.make_node("Gather", ["shape", "each"], ["long"]),
    helper.make_node("Range", ["first", "long", "each"], ["at"]),
    helper.make_node("Gather", ["places", "at"], ["place"]),
    helper.make_node("Add", ["bare", "place"], ["words"]),
)


def embedding_model(folder: Path, seed: int = 0, places: int | None = None) -> Path:
    """Write the model into the folder; another seed is another model, and one with places takes no more tokens than that."""
    folder.mkdir(parents=True, exist_ok=True)
    table = np.random.default_rng(seed).normal(size=(len(WORDS), _WIDTH)).astype(np.float32)
    nodes = [
        *(_PLACED if places else [helper.make_node("Gather", ["table", "input_ids"], ["words"])]),
        helper.make_node("Transpose", ["words"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["words", "turned"], ["likeness"]),
        helper.make_node("Cast", ["attention_mask"], ["there"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["there", "one"], ["absent"]),
        helper.make_node("Mul", ["absent", "much"], ["barred"]),
        helper.make_node("Unsqueeze", ["barred", "axis"], ["barred_each"]),
        helper.make_node("Add", ["likeness", "barred_each"], ["open"]),
        helper.make_node("Softmax", ["open"], ["attention"], axis=-1),
        helper.make_node("MatMul", ["attention", "words"], ["last_hidden_state"]),
    ]
    constants = {"table": table, "one": np.float32(1.0), "much": np.float32(1e9), "axis": np.array([1], dtype=np.int64)}
    if places:
        constants |= {"places": np.zeros((places, _WIDTH), dtype=np.float32), "first": np.int64(0), "each": np.int64(1)}
    tokens = [helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "tokens"]) for name in ("input_ids", "attention_mask")]
    states = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["rows", "tokens", _WIDTH])
    initial = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", tokens, [states], initial)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "model.onnx")
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = Lowercase(), Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
