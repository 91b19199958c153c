"""Embedding files: what the folder of an embedding model holds; known without NumPy, to whoever carries the folder."""

__all__ = ["EMBEDDING_FILES"]

EMBEDDING_FILES = ("model.onnx", "tokenizer.json")
