"""Show: the effective mesh file with secrets masked, and the JSON Schema that editors check it with."""

import re
from io import StringIO
from typing import Any

from ruamel.yaml import YAML

from partsong.mesh.load import LoadedMesh
from partsong.mesh.schema import Mesh

__all__ = ["as_yaml", "json_schema", "shown"]

_MASK = "***"
_SECRET_KEY = re.compile(r"(?:^|_)(api_?key|token|password|passwd|secret|authorization|cookie|credentials?)$")
_USER_INFO = re.compile(r"(?<=://)[^/@\s]+@")
_QUERY_SECRET = re.compile(r"(?i)([?&](?:[a-z_-]*key|[a-z_-]*token|password|secret|sig)=)[^&\s]+")


def shown(loaded: LoadedMesh, *, defaults: bool = False) -> dict[str, Any]:
    """Return what the composed files say, or with `defaults` all that the mesh then is; secrets are references or masked."""
    masked = _masked(loaded.mesh.facts() if defaults else loaded.written.plain())
    assert isinstance(masked, dict), "a mesh is a mapping"
    return masked


def as_yaml(plain: dict[str, Any]) -> str:
    """Return plain values as YAML in block style, keys in their order."""
    writer: Any = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.allow_unicode = True
    writer.width = 120
    writer.sort_base_mapping_type_on_output = False
    text = StringIO()
    writer.dump(plain, text)
    return text.getvalue()


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of mesh files, with every installed adapter, for editors and other tools."""
    schema = Mesh.model_json_schema(by_alias=True, mode="validation")
    needed = schema.pop("required")
    file = {"type": "string", "minLength": 1}
    composing = {
        "extends": {**file, "description": "A mesh file that this one changes: mappings key by key, everything else replaced."},
        "include": {
            "anyOf": [{"type": "array", "items": file}, file],
            "description": "Files whose models and plans are added; a name defined twice is an error.",
        },
    }
    properties = {**schema.pop("properties"), **composing}
    top = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Partsong mesh file"}
    complete = {"anyOf": [{"required": needed}, {"required": ["extends"]}, {"required": ["include"]}]}
    return {**top, **{key: value for key, value in schema.items() if key != "title"}, "properties": properties, **complete}


def _masked(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _masked(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner, key) for inner in value]
    if not isinstance(value, str):
        return value
    if _SECRET_KEY.search(re.sub(r"[-.]", "_", key.lower())):
        return _MASK
    return _QUERY_SECRET.sub(rf"\1{_MASK}", _USER_INFO.sub(f"{_MASK}@", value))
