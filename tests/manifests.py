"""Reads manifests and judges them by the schemas of KubeRay and Kubernetes."""

import json
from functools import cache
from pathlib import Path

import jsonpatch
import jsonschema
import kubernetes_validate
from ruamel.yaml import YAML

DATA = Path(__file__).parent / "data" / "kuberay"


def documents(text):
    return list(YAML(typ="safe", pure=True).load_all(text))


@cache
def _schema(kind):
    return json.loads((DATA / f"{kind.lower()}-ray.io-v1.json").read_text())


def problems(document):
    """Return what is wrong with an object, with its path."""
    if document["apiVersion"].startswith("ray.io/"):
        found = jsonschema.Draft202012Validator(_schema(document["kind"])).iter_errors(document)
        return [f"{error.json_path}: {error.message[:200]}" for error in found]
    try:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.ValidationError as error:
        return [str(error)[:300]]
    return []


def built(files, kustomization):
    """Return the objects of a kustomization, its JSON patches applied, as kustomize does."""
    folder = Path(kustomization)
    (made,) = documents(files[f"{folder}/kustomization.yaml"])
    objects = []
    for name in made["resources"]:
        path = _normal(folder / name)
        objects += built(files, path) if f"{path}/kustomization.yaml" in files else documents(files[path])
    for patched in made.get("patches", []):
        (operations,) = documents(patched["patch"])
        targets = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (patched["target"]["kind"], patched["target"]["name"])]
        assert targets, patched["target"]
        objects = [jsonpatch.apply_patch(o, operations) if o in targets else o for o in objects]
    return [{**o, "metadata": {**o["metadata"], "namespace": made.get("namespace", o["metadata"].get("namespace"))}} for o in objects]


def _normal(path):
    parts = []
    for part in path.parts:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)
