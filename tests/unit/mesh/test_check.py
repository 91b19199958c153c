"""What is wrong with a mesh file, where exactly, and what to do about it."""

import pytest

from partsong.mesh.check import Look, examined
from partsong.mesh.compose import composed_file

MODELS = """\
version: 1
models:
  a: {adapter: echo}
  b: {adapter: echo}
  c: {adapter: echo}
"""


def test_a_good_mesh_has_no_findings(folder):
    found = folder.check(MODELS + "plans:\n  vote: {ensemble: {members: [a, b, c], merge: majority, quorum: 2}}\n")
    assert found.errors == found.warnings == ()
    assert list(found.mesh.models) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("lines", "code", "at", "field", "words"),
    [
        # keys
        ("plns: {}", "unknown-key", "6:1", "plns", "did you mean 'plans'?"),
        ("  d: {adapter: echo, timeot: 3}", "unknown-key", "6:22", "models.d.timeot", "did you mean 'timeout'?"),
        ("  d: {adapter: wire, api_ky: {env: X}}", "unknown-key", "6:22", "models.d.api_ky", "did you mean 'api_key'?"),
        ("  d: {adapter: echo, workers: {mn: 1}}", "unknown-key", "6:32", "models.d.workers.mn", "did you mean 'min'?"),
        (
            "plans:\n  p: {ensemble: {members: [a], quorm: 1}}",
            "unknown-key",
            "7:32",
            "plans.p.ensemble.quorm",
            "did you mean 'quorum'?",
        ),
        (
            "plans:\n  p: {cascade: [{ask: a, trust: {samples: {kk: 3, agrement: 1}}}, {ask: b}]}",
            "unknown-key",
            "7:51",
            "plans.p.cascade.0.trust.samples.agrement",
            "did you mean 'agreement'?",
        ),
        ("routes: [{wen: {}, use: a}]", "unknown-key", "6:11", "routes.0.wen", "did you mean 'when'?"),
        ("store: {uri: x}", "unknown-key", "6:9", "store.uri", "did you mean 'url'?"),
        ("routes: [{when: {contains: text}}]", "missing-field", "6:10", "routes.0.use", "add `use:`"),
        # names
        ("  9d: {adapter: echo}", "bad-name", "6:3", "models.9d", "a letter, then"),
        ("  'd e': {adapter: echo}", "bad-name", "6:3", "models.d e", "a letter, then"),
        # adapters and kinds
        ("  d: {adapter: ecko}", "unknown-adapter", "6:16", "models.d.adapter", "did you mean 'echo'?"),
        ("  d: {model: x}", "no-adapter", "6:3", "models.d", ""),
        ("  d: echo", "model-not-a-mapping", "6:6", "models.d", ""),
        ("plans:\n  p: {cascad: [{ask: a}]}", "unknown-kind", "7:7", "plans.p.cascad", "did you mean 'cascade'?"),
        (
            "plans:\n  p: {ensemble: {members: [a], merge: majorty}}",
            "unknown-kind",
            "7:39",
            "plans.p.ensemble.merge",
            "did you mean 'majority'?",
        ),
        ("plans:\n  p: {direct: a, cascade: []}", "one-key", "7:3", "plans.p", "here: 2 keys"),
        # values
        ("  d: {adapter: echo, timeout: soon}", "wrong-value", "6:31", "models.d.timeout", "a duration like 250ms"),
        ("  d: {adapter: echo, timeout: -3}", "out-of-range", "6:31", "models.d.timeout", "more than 0"),
        ("  d: {adapter: echo, retries: 99}", "out-of-range", "6:31", "models.d.retries", "at most 20"),
        ("  d: {adapter: echo, concurrency: many}", "wrong-type", "6:35", "models.d.concurrency", "a whole number is wanted"),
        ("  d: {adapter: echo, price: 3}", "wrong-type", "6:29", "models.d.price", "a mapping is wanted"),
        ("  d: {adapter: echo, fallbacks: a}", "wrong-type", "6:33", "models.d.fallbacks", "a list is wanted"),
        ("  d: {adapter: echo, accepts: [txt]}", "wrong-value", "6:32", "models.d.accepts.0", "did you mean 'text'?"),
        ("  d: {adapter: echo, workers: {min: 3, max: 1}}", "wrong-value", "6:22", "models.d.workers", "max 1 is below min 3"),
        ("telemetry: {sample: 3}", "out-of-range", "6:21", "telemetry.sample", "at most 1"),
        ("routes: [{when: {matches: '('}, use: a}]", "wrong-value", "6:27", "routes.0.when.matches", "no regular expression"),
        # impossible plans
        (
            "plans:\n  p: {cascade: [{ask: a, trust: {logprob: 85}}, {ask: b}]}",
            "wrong-value",
            "7:43",
            "plans.p.cascade.0.trust.logprob",
            "did you mean 0.85?",
        ),
        ("plans:\n  p: {ensemble: {members: [a, b], quorum: 3}}", "wrong-value", "7:7", "plans.p.ensemble", "can never be met"),
        ("plans:\n  p: {cascade: [{ask: a}, {ask: b}]}", "wrong-value", "7:7", "plans.p.cascade", "no later tier would ever be asked"),
        # names asked for
        ("plans:\n  p: {direct: aa}", "unknown-name", "7:15", "plans.p.direct", "did you mean 'a'?"),
        ("plans:\n  p: {ensemble: {members: [a, x]}}", "unknown-name", "7:31", "plans.p.ensemble.members.1", "one of: a, b, c, p"),
        ("routes: [{use: q}]", "unknown-name", "6:16", "routes.0.use", "one of: a, b, c"),
        ("  d: {adapter: echo, fallbacks: [bb]}", "unknown-name", "6:34", "models.d.fallbacks.0", "did you mean 'b'?"),
        (
            "  d: {adapter: echo, fallbacks: [p]}\nplans: {p: {direct: a}}",
            "fallback-is-plan",
            "6:34",
            "models.d.fallbacks.0",
            "name a model here",
        ),
        ("plans:\n  a: {direct: b}", "name-twice", "7:3", "plans.a", "rename one of them"),
        # circles
        ("plans:\n  p: {direct: q}\n  q: {direct: p}", "plan-cycle", "7:15", "plans.p.direct", "p -> q -> p"),
        ("plans:\n  p: {direct: p}", "plan-cycle", "7:15", "plans.p.direct", "p -> p"),
        (
            "  d: {adapter: echo, fallbacks: [e]}\n  e: {adapter: echo, fallbacks: [d]}",
            "fallback-cycle",
            "6:34",
            "models.d.fallbacks.0",
            "d -> e -> d",
        ),
        # prompts
        (
            "plans:\n  p: {cascade: [{ask: a, trust: {verifier: {model: b, prompt: no.j2}}}, {ask: b}]}",
            "bad-prompt",
            "7:63",
            "plans.p.cascade.0.trust.verifier.prompt",
            "there is no such file",
        ),
        (
            "plans:\n  p: {cascade: [{ask: a, trust: {verifier: {model: b, prompt: '{{ x'}}}, {ask: b}]}",
            "bad-prompt",
            "7:63",
            "plans.p.cascade.0.trust.verifier.prompt",
            "line 1",
        ),
        (
            "plans:\n  p: {cascade: [{ask: a, trust: {verifier: {model: b, prompt: ../x.txt}}}, {ask: b}]}",
            "bad-prompt",
            "7:63",
            "plans.p.cascade.0.trust.verifier.prompt",
            "not outside",
        ),
        # secrets
        ("  d: {adapter: wire, api_key: sk-123}", "literal-secret", "6:31", "models.d.api_key", "{env: D_API_KEY}"),
        ("  d: {adapter: wire, api_key: {env: NOT_SET}}", "missing-secret", "6:37", "models.d.api_key.env", "export NOT_SET"),
        ("  d: {adapter: wire, api_key: {file: no.key}}", "missing-secret", "6:38", "models.d.api_key.file", "No such file"),
        ("  d: {adapter: wire, api_key: {env: A, file: b}}", "wrong-value", "6:22", "models.d.api_key", "exactly one of env and file"),
    ],
)
def test_each_error_names_its_exact_place_and_a_remedy(folder, lines, code, at, field, words):
    found = folder.check(MODELS + lines + "\n")
    assert found.mesh is None
    assert (code, at, field) in folder.spots(found.errors)
    problem = next(p for p in found.errors if p.code == code and p.at.field == field)
    assert words in f"{problem.what} {problem.remedy}"
    assert problem.at.file == str(folder.path / "mesh.yaml")


@pytest.mark.parametrize("version", ["2", "'1'", "null", "[]"])
def test_another_version_of_the_format_is_refused(folder, version):
    found = folder.check(f"version: {version}\nmodels: {{a: {{adapter: echo}}}}\n")
    assert folder.spots(found.errors) == [("wrong-value", "1:10" if version != "[]" else "1:1", "version")]


def test_a_file_without_version_and_models_lacks_both(folder):
    found = folder.check("plans: {}\n")
    assert [(p.code, p.at.field) for p in found.errors] == [("missing-field", "version"), ("missing-field", "models")]


def test_all_errors_come_at_once_in_the_order_of_the_file(folder):
    found = folder.check(
        MODELS
        + """\
  d: {adapter: ecko, timeout: -1}
  e: {adapter: echo, timeout: -1, fallbacks: [zz]}
  f: {adapter: wire, api_key: {env: NOT_SET}}
plans:
  p: {ensemble: {members: [a, zz]}}
  q: {cascade: [{ask: a, trust: {logprob: 2}}, {ask: b}]}
routes: [{use: zz}]
stor: {}
"""
    )
    assert [f"{code} {at}" for code, at, _ in folder.spots(found.errors)] == [
        "unknown-adapter 6:16",
        "out-of-range 7:31",
        "unknown-name 7:47",
        "missing-secret 8:37",
        "unknown-name 10:31",
        "wrong-value 11:43",
        "unknown-name 12:16",
        "unknown-key 13:1",
    ]


def test_a_model_that_is_wrong_itself_still_counts_as_known(folder):
    found = folder.check(MODELS + "  d: {adapter: echo, timeout: -1}\nplans: {p: {direct: d}}\n")
    assert [code for code, _, _ in folder.spots(found.errors)] == ["out-of-range"]


def test_a_name_asked_for_twice_is_reported_at_both_places(folder):
    found = folder.check(MODELS + "plans:\n  p: {ensemble: {members: [x, a, x]}}\n")
    assert [field for _, _, field in folder.spots(found.errors)] == ["plans.p.ensemble.members.0", "plans.p.ensemble.members.2"]


def test_a_long_circle_is_shown_with_its_whole_path(folder):
    found = folder.check(MODELS + "plans:\n  p: {direct: q}\n  q: {direct: r}\n  r: {direct: s}\n  s: {direct: q}\n")
    assert [p.what for p in found.errors] == ["plans ask each other in a circle: q -> r -> s -> q"]


def test_a_thousand_plans_in_a_row_are_no_circle(folder):
    chain = "".join(f"  p{n}: {{direct: p{n + 1}}}\n" for n in range(1000))
    assert folder.check(MODELS + "plans:\n" + chain + "  p1000: {direct: a}\n").errors == ()


def test_secrets_are_not_looked_for_when_the_check_is_told_so(folder):
    text = MODELS + "  d: {adapter: wire, api_key: {env: NOT_SET}}\n"
    assert folder.check(text, check_secrets=False).errors == ()


def test_a_literal_key_is_refused_without_being_repeated(folder):
    found = folder.check(MODELS + "  d: {adapter: wire, api_key: sk-hidden}\n")
    assert "sk-hidden" not in repr(found)


def test_a_prompt_file_beside_the_mesh_is_read_into_it(folder):
    folder.write("prompts/verify.j2", "Is {{ answer }} right?")
    found = folder.check(
        MODELS + "plans:\n  p: {cascade: [{ask: a, trust: {verifier: {model: b, prompt: prompts/verify.j2}}}, {ask: c}]}\n"
    )
    assert found.mesh.plans["p"].tiers[0].trust.prompt.text == "Is {{ answer }} right?"


def test_a_missing_prompt_file_is_named_with_the_nearest_there_is(folder):
    folder.write("verify.j2", "Is {{ answer }} right?")
    found = folder.check(MODELS + "plans:\n  p: {cascade: [{ask: a, trust: {verifier: {model: b, prompt: verfy.j2}}}, {ask: c}]}\n")
    assert [p.remedy for p in found.errors] == ["did you mean 'verify.j2'?"]


def test_a_link_may_not_lead_a_prompt_out_of_the_folder(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret.txt"
    outside.write_text("secret")
    (folder.path / "link.txt").symlink_to(outside)
    found = folder.check(MODELS + "plans:\n  p: {cascade: [{ask: a, trust: {verifier: {model: b, prompt: link.txt}}}, {ask: c}]}\n")
    assert [p.code for p in found.errors] == ["bad-prompt"]


def test_a_function_that_cannot_be_imported_is_a_problem_of_its_plan(folder):
    from partsong.errors import MeshError

    def importing(path):
        raise MeshError("cannot-import", f"{path}: no module", remedy="install it")

    text = MODELS + "plans:\n  p: {cascade: [{ask: a, trust: {python: 'rules:ok'}}, {ask: b}]}\n"
    found = folder.check(text, import_function=importing)
    assert [(p.at.line, p.remedy) for p in found.errors] == [(7, "install it")]


@pytest.mark.parametrize(
    ("lines", "code", "at"),
    [
        ("routes: [{use: a}, {use: b}]", "idle-route", "6:20"),
        ("routes: [{when: {code: true}, use: a}, {when: {code: true}, use: b}, {use: c}]", "idle-route", "6:40"),
        ("routes: [{use: a}, {when: {code: true}, use: b}]", "default-not-last", "6:20"),
        ("routes: [{when: {code: true}, use: b}]", "no-default-route", "6:1"),
        ("  d: {adapter: echo, accepts: [text, image], fallbacks: [a]}", "narrow-fallback", "6:58"),
        ("plans:\n  p: {cascade: [{ask: a, trust: {agreement: 0.6}}, {ask: b}]}", "never-trusted", "7:23"),
        (
            "plans:\n  v: {ensemble: {members: [a, b, c]}}\n  p: {cascade: [{ask: v, trust: {agreement: 0.3}}, {ask: b}]}",
            "always-trusted",
            "8:23",
        ),
    ],
)
def test_what_is_probably_not_meant_is_a_warning(folder, lines, code, at):
    found = folder.check(MODELS + lines + "\n")
    assert found.errors == ()
    assert found.mesh is not None
    assert (code, at) in [(code, at) for code, at, _ in folder.spots(found.warnings)]


def test_a_route_on_language_needs_a_detector(folder, monkeypatch):
    text = MODELS + "routes: [{when: {language: de}, use: a}, {use: b}]\n"
    assert folder.check(text).errors == ()
    monkeypatch.setattr("partsong.specialists.language.find_spec", lambda name: None)
    assert folder.spots(folder.check(text).errors) == [("no-language-detector", "6:1", "routes")]


def test_an_adapter_that_cannot_be_loaded_is_a_problem_of_its_models(folder):
    from partsong.errors import MeshError

    class Broken(dict):
        def __getitem__(self, name):
            raise MeshError("adapter-broken", f"adapter {name!r} cannot be loaded: no module")

    path = folder.write("mesh.yaml", MODELS)
    found = examined(composed_file(path).root, Look(folder.path, {}, adapters=Broken(echo=None)))
    assert folder.spots(found.errors)[0] == ("adapter-broken", "3:16", "models.a.adapter")
