"""Sound: the pieces of a mesh that are right by themselves, with their places, for the checks of how they fit together."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from partsong.contracts import ModelSpec
from partsong.errors import Place
from partsong.mesh.document import Piece
from partsong.plans.plan import Plan
from partsong.routing.experiments import Experiment
from partsong.routing.rules import RouteRule

__all__ = ["Sound"]


@dataclass(frozen=True, slots=True)
class Sound:
    """The sound models, plans, routes and experiments; names count as known also when their entry is not sound."""

    root: Piece
    models: Mapping[str, ModelSpec]
    plans: Mapping[str, Plan]
    routes: Mapping[int, RouteRule]
    experiments: Mapping[str, Experiment]

    @property
    def model_names(self) -> list[str]:
        """Every model's name, sound or not."""
        return list(self._section("models"))

    @property
    def plan_names(self) -> list[str]:
        """Every plan's name, sound or not."""
        return list(self._section("plans"))

    @property
    def experiment_names(self) -> list[str]:
        """Every experiment's name, sound or not."""
        return list(self._section("experiments"))

    @property
    def account_names(self) -> list[str]:
        """Every account's name, sound or not."""
        return list(self._section("accounts"))

    @property
    def names(self) -> list[str]:
        """Everything that a plan can ask."""
        return [*self.model_names, *self.plan_names]

    @property
    def fallbacks(self) -> Mapping[str, list[str]]:
        """The fallbacks of every model that states some, sound or not."""
        stated = {name: piece.step("fallbacks") for name, piece in self._section("models").items()}
        return {name: list(map(str, piece.plain())) for name, piece in stated.items() if piece and isinstance(piece.content, list)}

    @property
    def uses(self) -> Mapping[int, str]:
        """What every route uses, sound or not."""
        routes = self.root.fields.get("routes")
        stated = enumerate(routes.content) if routes is not None and isinstance(routes.content, list) else ()
        return {number: str(use.content) for number, rule in stated if (use := rule.step("use")) and isinstance(use.content, str)}

    @property
    def leaves(self) -> Mapping[tuple[str, ...], str]:
        """What every leaf of the decision tree uses, sound or not, by its place."""
        return dict(_leaves(self.root.fields["tree"], ("tree",))) if "tree" in self.root.fields else {}

    def asked_by(self, name: str) -> list[str]:
        """Return every model that may be asked when this model or plan answers, its fallbacks among them."""
        found: dict[str, None] = {}
        ahead = [name]
        while ahead:
            if (asked := ahead.pop()) in found:
                continue
            found[asked] = None
            ahead += self.plans[asked].asks() if asked in self.plans else self.fallbacks.get(asked, ())
        return [asked for asked in found if asked in self.models]

    def states(self, loc: tuple[str, ...], *fields: str) -> bool:
        """Whether the piece is there and has a value in one of the fields."""
        piece: Piece | None = self.root
        for part in loc:
            piece = None if piece is None else piece.step(part)
        return piece is not None and any(field in piece.fields and piece.fields[field].content is not None for field in fields)

    def place(self, *loc: str | int) -> Place:
        """Return the place of a piece, or of the deepest one on the way to it."""
        piece = self.root
        for part in loc:
            piece = piece.step(part) or piece
        return replace(piece.spot, field=".".join(str(part) for part in loc))

    def key_place(self, *loc: str | int) -> Place:
        """Return the place of a piece's key."""
        piece: Piece | None = self.root
        for part in loc:
            piece = None if piece is None else piece.step(part)
        at = self.place(*loc)
        return at if piece is None or piece.key_at is None else replace(piece.key_at, field=at.field)

    def mentions(self, name: str, *loc: str | int) -> list[Place]:
        """Return every place under a piece where the name stands as a value, else as a key, else the piece's own."""
        piece: Piece | None = self.root
        for part in loc:
            piece = None if piece is None else piece.step(part)
        found = [] if piece is None else list(_mentions(piece, name, loc))
        values = [at for at, is_key in found if not is_key]
        return values or [at for at, _ in found] or [self.place(*loc)]

    def _section(self, name: str) -> Mapping[str, Piece]:
        return self.root.fields[name].fields if name in self.root.fields else {}


def _leaves(piece: Piece, loc: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(piece.content, str):
        yield loc, piece.content
    for key, inner in piece.fields.items():
        if key in ("then", "else", "use"):
            yield from _leaves(inner, (*loc, key))


def _mentions(piece: Piece, name: str, loc: tuple[str | int, ...]) -> Iterator[tuple[Place, bool]]:
    field = ".".join(str(part) for part in loc)
    if piece.content == name and isinstance(piece.content, str):
        yield replace(piece.at, field=field), False
    for key, inner in piece.fields.items():
        if key == name and inner.key_at is not None:
            yield replace(inner.key_at, field=f"{field}.{key}"), True
        yield from _mentions(inner, name, (*loc, key))
    if isinstance(piece.content, list):
        for number, inner in enumerate(piece.content):
            yield from _mentions(inner, name, (*loc, number))
