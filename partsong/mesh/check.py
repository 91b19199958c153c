"""Check: everything that is wrong with a mesh, at once, each with its place and what to do."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from os.path import normpath
from pathlib import Path, PurePath
from typing import Any, cast
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from partsong.adapters.adapter import Adapter, adapter_kinds
from partsong.adapters.beside import OUTSIDE_REMEDY, lies_within, name_checker
from partsong.adapters.reach import is_link_local
from partsong.contracts import ModelSpec
from partsong.contracts.allowed import NOTHING, Allowed
from partsong.contracts.credentials import credential_in
from partsong.errors import MeshError, PartsongError, Problem
from partsong.mesh.document import Piece
from partsong.mesh.explain import explained
from partsong.mesh.fit import trust_warnings
from partsong.mesh.gate_check import gate_errors
from partsong.mesh.learned import embedding_errors, embedding_here, known_here, learned_errors, learned_reader
from partsong.mesh.prompt_files import reader
from partsong.mesh.references import reference_errors, reference_warnings
from partsong.mesh.schema import Mesh, ModelField
from partsong.mesh.secrets import model_secret, resolve
from partsong.mesh.sound import Sound
from partsong.mesh.thresholds import threshold_errors
from partsong.plans import Plan, PlanField
from partsong.routing.experiments import Experiment, ExperimentField
from partsong.routing.rules import RouteRule

__all__ = ["Findings", "ImportFunction", "Look", "examined"]

ImportFunction = Callable[[str], Any]
"""Returns what `package.module:name` names, or raises MeshError."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a mesh is looked at."""

    folder: Path
    env: Mapping[str, str]
    check_secrets: bool = True
    import_function: ImportFunction | None = None
    """None leaves importing to the first use."""
    adapters: Mapping[str, type[Adapter]] | None = None
    """None: those that are installed."""
    ask_adapters: bool = False
    """Whether each model's adapter is asked what keeps it from being used: files that are not there, code that cannot be imported."""
    allowed: Allowed = NOTHING
    """What the user allows the mesh file beyond its folder."""
    learning: bool = False
    """Whether it is looked at to be learned of: what was learned before is left out, and nothing need be."""

    def context(self) -> dict[str, Any]:
        """Return what the schema's validators look things up in."""
        importing = None if self.import_function is None else _speaking(self.import_function)
        return {
            "read_prompt": reader(self.folder, self.allowed),
            "lies_beside": name_checker(self.folder, self.allowed),
            "import_function": importing,
            "adapters": self.adapters,
            "read_learned": learned_reader(self.folder, self.allowed),
        }


@dataclass(frozen=True, slots=True)
class Findings:
    """What a check came to."""

    mesh: Mesh | None
    """None when there are errors."""
    errors: tuple[Problem, ...] = ()
    """What keeps the mesh from being used, in the order of the file."""
    warnings: tuple[Problem, ...] = field(default=())
    """What is probably not meant."""


def examined(root: Piece, look: Look) -> Findings:
    """Return the mesh that the tree describes, or all that is wrong with it."""
    context = look.context()
    if look.learning:
        root = root.with_fields({key: piece for key, piece in root.fields.items() if key != "learned"})
    knowledge = known_here(_content(root, "learned"), context["read_learned"])
    knowledge = embedding_here(_content(root, "embeddings"), knowledge, look.folder, look.allowed)
    context |= {"knowledge": knowledge, "nothing_learned": "learned" not in root.fields and not look.learning}
    mesh: Mesh | None = None
    errors: list[Problem] = []
    try:
        mesh = Mesh.model_validate(root.plain(), context=context)
    except ValidationError as error:
        errors += explained(error, root, look.adapters)
    sound = _sound(root, context)
    errors += [
        *reference_errors(sound),
        *learned_errors(sound, knowledge),
        *threshold_errors(sound, knowledge),
        *gate_errors(sound, None if mesh is None else mesh.gate, knowledge),
        *embedding_errors(sound, None if mesh is None else knowledge),
    ]
    if look.check_secrets:
        errors += _secret_errors(sound, look)
    if look.ask_adapters:
        errors += _adapter_errors(sound, look)
    errors += [*_address_errors(sound, mesh, look), *_written_errors(sound, mesh, look), *_credential_errors(sound, mesh)]
    if mesh is not None and not errors:
        errors += _routing_errors(mesh, root)
    warnings = [*reference_warnings(sound), *trust_warnings(sound)]
    return Findings(None if errors else mesh, _in_order(errors), _in_order(warnings))


def _in_order(problems: list[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(dict.fromkeys(problems), key=lambda p: (p.at.file, p.at.line, p.at.column) if p.at else ("", 0, 0)))


def _sound(root: Piece, context: Mapping[str, Any]) -> Sound:
    """Return the pieces that are right by themselves, so that what is wrong between them is found beside what is wrong within others."""
    models = _valid(_entries(root, "models"), TypeAdapter(ModelField), context)
    plans = _valid(_entries(root, "plans"), TypeAdapter(PlanField), context)
    routes = _valid(_entries(root, "routes"), TypeAdapter(RouteRule), context)
    experiments = _valid(_entries(root, "experiments"), TypeAdapter(ExperimentField), context)
    return Sound(
        root,
        cast("dict[str, ModelSpec]", models),
        cast("dict[str, Plan]", plans),
        cast("dict[int, RouteRule]", routes),
        cast("dict[str, Experiment]", experiments),
    )


def _content(root: Piece, section: str) -> object:
    return root.fields[section].content if section in root.fields else None


def _entries(root: Piece, section: str) -> Iterator[tuple[str | int, Piece]]:
    content = _content(root, section)
    if isinstance(content, dict):
        yield from content.items()
    elif isinstance(content, list):
        yield from enumerate(content)


def _valid(entries: Iterator[tuple[str | int, Piece]], schema: TypeAdapter[Any], context: Mapping[str, Any]) -> dict[str | int, Any]:
    found: dict[str | int, Any] = {}
    for key, piece in entries:
        try:
            found[key] = schema.validate_python(piece.plain(), context=dict(context))
        except ValidationError:
            continue  # explained already, with the whole
    return found


def _secret_errors(sound: Sound, look: Look) -> list[Problem]:
    problems: list[Problem] = []
    for name, spec in sound.models.items():
        if (ref := model_secret(spec)) is None:
            continue
        try:
            resolve(ref, look.env, look.folder, sound.place("models", name, "api_key", "env" if ref.env else "file"), look.allowed)
        except MeshError as error:
            problems += error.problems
    return problems


def _adapter_errors(sound: Sound, look: Look) -> Iterator[Problem]:
    kinds = adapter_kinds() if look.adapters is None else look.adapters
    for name, spec in sound.models.items():
        for about, problem in kinds[spec.adapter].problems(spec, look.folder, look.allowed):
            yield replace(problem, at=sound.place("models", name, about))


def _address_errors(sound: Sound, mesh: Mesh | None, look: Look) -> Iterator[Problem]:
    """Yield the addresses that can be seen to be link-local; names that resolve to one are refused when they are connected to."""
    if look.allowed.link_local:
        return
    for url, path in _addresses(sound, mesh):
        host = None if not isinstance(url, str) else urlsplit(url).hostname
        if host and is_link_local(host):
            what = f"{host} is a link-local address or the metadata service of a cloud"
            remedy = "name another host, or, if you trust the mesh file, allow it with --allow link-local"
            yield Problem("link-local", what, sound.place(*path), remedy)


def _credential_errors(sound: Sound, mesh: Mesh | None) -> Iterator[Problem]:
    """Yield addresses that hold a password or another credential."""
    for url, path in _addresses(sound, mesh):
        if isinstance(url, str) and (found := credential_in(url)):
            what = f"the address holds {found}, and the file holds no secrets"
            yield Problem("literal-secret", what, sound.place(*path), f"take it out and change it; {_WHERE_SECRETS_ARE[path[-1]]}")


_WHERE_SECRETS_ARE = {
    "url": "name the variable that holds it: `?password_env=PARTSONG_STORE_PASSWORD`",
    "segments": "credentials are read from the environment: AWS_PROFILE or AWS_ACCESS_KEY_ID and the like",
    "base_url": "name the variable that holds it: `api_key: {env: NAME}`",
    "otlp": "name a collector that needs none, on this machine or network",
}


def _addresses(sound: Sound, mesh: Mesh | None) -> Iterator[tuple[object, tuple[str, ...]]]:
    """Yield every URL that the mesh names, and its place."""
    for name, spec in sound.models.items():
        yield getattr(spec, "base_url", None), ("models", name, "base_url")
    if mesh is not None:
        yield mesh.telemetry.otlp, ("telemetry", "otlp")
        yield mesh.store.url, ("store", "url")
        yield mesh.store.segments, ("store", "segments")


def _written_errors(sound: Sound, mesh: Mesh | None, look: Look) -> Iterator[Problem]:
    """Yield the places of journal and traces that are neither in the mesh file's folder nor in or beside the run's."""
    if mesh is None or look.allowed.outside_files:
        return
    store, segments = (mesh.store.url or "").removeprefix("sqlite:///"), (mesh.store.segments or "").removeprefix("file://")
    places = ((store, ("store", "url")), (segments, ("store", "segments")), (mesh.telemetry.file or "", ("telemetry", "file")))
    for named, path in places:
        if _leads_away(named) and not lies_within(Path(named).absolute(), look.folder):
            what = f"{named!r} lies neither in the mesh file's folder nor in or beside the run's folder"
            yield Problem("outside-folder", what, sound.place(*path), OUTSIDE_REMEDY)


def _leads_away(named: str) -> bool:
    """Return whether a path that starts at the run's folder leads further up than to the folder around it."""
    return PurePath(named).is_absolute() or normpath(named).startswith("../..")


def _routing_errors(mesh: Mesh, root: Piece) -> list[Problem]:
    try:
        mesh.router()
    except MeshError as error:
        section = "routes" if "routes" in root.fields else "tree"
        at = replace(root.fields[section].spot, field=section)
        return [replace(problem, at=at) for problem in error.problems]
    return []


def _speaking(import_function: ImportFunction) -> ImportFunction:
    """Return the function with its errors turned into the kind that a validator may raise."""

    def importing(path: str) -> Any:
        try:
            return import_function(path)
        except PartsongError as error:
            problem = error.problems[0]
            raise ValueError(f"{problem.what}; {problem.remedy}" if problem.remedy else problem.what) from None

    return importing
