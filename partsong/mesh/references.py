"""References: whether the names that plans, routes and fallbacks ask for are there, lead nowhere in a circle, and fit."""

from collections.abc import Iterator, Mapping, Sequence

from partsong.errors import Problem
from partsong.mesh.explain import nearest
from partsong.mesh.sound import Sound
from partsong.routing.experiments import Shadow

__all__ = ["reference_errors", "reference_warnings"]


def reference_errors(sound: Sound) -> list[Problem]:
    """Return what is wrong between the pieces."""
    return [
        *_shared_names(sound),
        *_unknown_in_plans(sound),
        *_unknown_in_routes(sound),
        *_unknown_in_tree(sound),
        *_unknown_in_experiments(sound),
        *_fallbacks(sound),
        *_circles(sound),
        *_accounts(sound),
    ]


def reference_warnings(sound: Sound) -> list[Problem]:
    """Return what is probably not meant."""
    return [*_narrow_fallbacks(sound), *_idle_routes(sound)]


def _shared_names(sound: Sound) -> Iterator[Problem]:
    first: dict[str, str] = dict.fromkeys(sound.model_names, "model")
    for noun, names in (("plan", sound.plan_names), ("experiment", sound.experiment_names)):
        for name in names:
            if name in first:
                what = f"{name!r} is {_A[noun]} {noun} and a {first[name]}"
                other = f"the {first[name]} is at {sound.key_place(f'{first[name]}s', name)}; rename one of them"
                yield Problem("name-twice", what, sound.key_place(f"{noun}s", name), other)
        first |= dict.fromkeys(names, noun)


def _unknown_in_plans(sound: Sound) -> Iterator[Problem]:
    for plan_name, plan in sound.plans.items():
        for name in dict.fromkeys(plan.asks()):
            if name not in sound.names:
                what = f"plan {plan_name!r} asks for {name!r}, which is no model or plan"
                for at in sound.mentions(name, "plans", plan_name):
                    yield Problem("unknown-name", what, at, nearest(name, sound.names))


def _unknown_in_routes(sound: Sound) -> Iterator[Problem]:
    names = [*sound.names, *sound.experiment_names]
    for number, name in sound.uses.items():
        if name not in names:
            what = f"route {number + 1} uses {name!r}, which is no model, plan or experiment"
            yield Problem("unknown-name", what, sound.place("routes", number, "use"), nearest(name, names))


def _unknown_in_tree(sound: Sound) -> Iterator[Problem]:
    names = [*sound.names, *sound.experiment_names]
    for place, name in sound.leaves.items():
        if name not in names:
            what = f"a leaf of the tree uses {name!r}, which is no model, plan or experiment"
            yield Problem("unknown-name", what, sound.place(*place), nearest(name, names))


def _unknown_in_experiments(sound: Sound) -> Iterator[Problem]:
    for name, experiment in sound.experiments.items():
        for arm, use in (("champion", experiment.champion), ("challenger", experiment.challenger)):
            if use not in sound.names:
                what = f"experiment {name!r} has {use!r} as its {arm}, which is no model or plan"
                yield Problem("unknown-name", what, sound.place("experiments", name, experiment.kind, arm), nearest(use, sound.names))
        if isinstance(experiment, Shadow):
            yield from _unpriced_shadow(sound, name, experiment)


def _unpriced_shadow(sound: Sound, name: str, shadow: Shadow) -> Iterator[Problem]:
    """Yield the models that a shadow may ask whose dollars nobody could count."""
    for model in sound.asked_by(shadow.challenger):
        if (spec := sound.models.get(model)) is not None and spec.price is None:
            what = f"{name!r} limits its shadow's dollars, and {model!r} has no price"
            remedy = f"give {model} `price: {{input: ..., output: ...}}` in US dollars per million tokens; zeros when it is free"
            yield Problem("no-price", what, sound.place("experiments", name, "shadow", "usd_per_run"), remedy)


def _fallbacks(sound: Sound) -> Iterator[Problem]:
    for model, fallbacks in sound.fallbacks.items():
        for place, name in enumerate(fallbacks):
            at = sound.place("models", model, "fallbacks", place)
            if name in sound.model_names:
                continue
            if name in sound.plan_names:
                remedy = "name a model here; a cascade climbs past a tier that fails"
                yield Problem("fallback-is-plan", f"{model!r} falls back on {name!r}, which is a plan", at, remedy)
            else:
                what = f"{model!r} falls back on {name!r}, which is no model"
                yield Problem("unknown-name", what, at, nearest(name, sound.model_names))


def _accounts(sound: Sound) -> Iterator[Problem]:
    for model, spec in sound.models.items():
        if spec.account is not None and spec.account not in sound.account_names:
            what = f"{model!r} is of account {spec.account!r}, which is not under `accounts`"
            yield Problem("unknown-account", what, sound.place("models", model, "account"), nearest(spec.account, sound.account_names))
        in_usd = [("models", model, "limits"), ("accounts", spec.account or "")]
        for place in (place for place in in_usd if spec.price is None and sound.states(place, "usd_per_run", "usd_per_day")):
            what = f"{model!r} has no price, so that a limit of dollars could not hold"
            remedy = f"give {model} `price: {{input: ..., output: ...}}` in US dollars per million tokens; zeros when it is free"
            yield Problem("no-price", what, sound.place(*place), remedy)


def _circles(sound: Sound) -> Iterator[Problem]:
    plans = {name: [asked for asked in dict.fromkeys(plan.asks()) if asked in sound.plans] for name, plan in sound.plans.items()}
    for circle in _found_circles(plans):
        what = f"plans ask each other in a circle: {' -> '.join(circle)}"
        at = sound.mentions(circle[1], "plans", circle[0])[0]
        yield Problem("plan-cycle", what, at, "a plan may ask only plans that never come back to it")
    models = {name: [other for other in fallbacks if other in sound.fallbacks] for name, fallbacks in sound.fallbacks.items()}
    for circle in _found_circles(models):
        what = f"fallbacks lead in a circle: {' -> '.join(circle)}"
        at = sound.mentions(circle[1], "models", circle[0], "fallbacks")[0]
        yield Problem("fallback-cycle", what, at, "let the last of them have no fallback")


def _found_circles(edges: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Yield one circle for each edge that closes one, walking depth first in the given order, without recursion."""
    done: set[str] = set()
    for start in edges:
        path: list[str] = [start]
        ahead: list[Iterator[str]] = [iter(edges[start])] if start not in done else []
        while ahead:
            following = next(ahead[-1], None)
            if following is None:
                done.add(path.pop())
                ahead.pop()
            elif following in path:
                yield [*path[path.index(following) :], following]
            elif following not in done:
                path.append(following)
                ahead.append(iter(edges[following]))


_A = {"plan": "a", "experiment": "an"}


def _narrow_fallbacks(sound: Sound) -> Iterator[Problem]:
    for model, spec in sound.models.items():
        for place, name in enumerate(spec.fallbacks):
            other = sound.models.get(name)
            lacking = [part for part in spec.accepts if other is not None and part not in other.accepts]
            if lacking:
                at = sound.place("models", model, "fallbacks", place)
                what = f"{model!r} takes {', '.join(lacking)}, its fallback {name!r} does not"
                yield Problem("narrow-fallback", what, at, f"add it to `accepts` of {name!r}, or expect such rows to fail")


def _idle_routes(sound: Sound) -> Iterator[Problem]:
    """Warn of rules that take no row: the rules with `when` are tried in order, then the first without."""
    seen: dict[str, int] = {}
    for number, rule in sound.routes.items():
        condition = "" if rule.when is None else rule.when.model_dump_json()
        at = sound.place("routes", number)
        if condition in seen:
            first = f"route {seen[condition] + 1}"
            what = f"route {number + 1} takes no row: {first} takes {'every row that is left' if not condition else 'the same rows'}"
            yield Problem("idle-route", what, at, f"take it out, or give it another `when` than {first}")
        elif condition and "" in seen:
            what = f"route {number + 1} stands after the default (route {seen[''] + 1}), but is tried before it"
            yield Problem("default-not-last", what, at, "write the route without `when` last")
        seen.setdefault(condition, number)
    others_take = sound.states((), "tree", "gate")
    if sound.routes and "" not in seen and not others_take and len(sound.routes) == len(sound.uses) and len(sound.plan_names) != 1:
        what = "a row that no route takes, and that names no model or plan itself, fails"
        yield Problem("no-default-route", what, sound.key_place("routes"), "end `routes` with {use: NAME}")
