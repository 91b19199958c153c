"""`partsong learn MESH RUN... -o learned/`: learn from what was recorded whom to ask, when to stop and what that is worth."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.status import Status
from typer.core import TyperGroup

from partsong.adapters.beside import placed
from partsong.contracts import ModelSpec
from partsong.contracts.task import KIND_FIELDS
from partsong.errors import InputError, Place
from partsong.evaluation.marked import EXPECTED
from partsong.learning.knowledge import learn_installed
from partsong.mesh import LoadedMesh
from partsong.mesh.explain import nearest
from partsong_cluster.cli.allow import Allow, allowed_by
from partsong_cluster.cli.compare import Expected, Grade, grader_named
from partsong_cluster.cli.exit_codes import ExitCode
from partsong_cluster.terminal import in_json

if TYPE_CHECKING:
    from partsong.learning.outcomes import Embedded
    from partsong.learning.tabled import Replies
    from partsong_cluster.outcomes.runs import Reading

__all__ = ["Kind", "app", "reading_of"]

_EXAMPLES = (
    "Examples:  partsong learn mesh.yaml out-vote -o learned  |  partsong learn mesh.yaml out-* --kind subject --max-loss 0.5 --json"
)

_TREE_EXAMPLES = "Examples:  partsong learn tree mesh.yaml out-vote -o tree.yaml  |  partsong learn tree mesh.yaml out-* --depth 2 --json"

Mesh = Annotated[Path, typer.Argument(help="The mesh file whose models are learned of.", metavar="MESH", show_default=False)]
Runs = Annotated[list[Path], typer.Argument(help="Folders of runs in which its models answered.", metavar="RUN...", show_default=False)]
Kind = Annotated[
    str | None,
    typer.Option(help="The metadata field with the kind of task; default: the first of kind, skill, category.", metavar="FIELD"),
]
Output = Annotated[Path, typer.Option("--output", "-o", help="The folder to write.", metavar="DIR")]
Budget = Annotated[
    float | None,
    typer.Option(
        min=0.0, help="Only names the policy to use: the best whose 1,000 rows cost no more; nothing is learned by it.", metavar="USD"
    ),
]
ValueOfCorrect = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        help="Only names the policy to use: the one worth most when a right answer is worth this; nothing is learned by it.",
        metavar="USD",
    ),
]
MaxLoss = Annotated[float, typer.Option(min=0.0, max=100.0, help="How far below the best single model a promise may be.", metavar="POINTS")]
JudgeName = Annotated[
    str | None,
    typer.Option("--judge", help="A model of MESH that judges rows without label or feedback; it is asked, and costs.", metavar="MODEL"),
]
JudgeBudget = Annotated[float | None, typer.Option(min=0.0, help="Stop before the judge has cost more.", metavar="USD")]
Cards = Annotated[
    list[str] | None,
    typer.Option(
        "--card", help="The share right that a new model's card lets expect, as MODEL=0.8; may be repeated.", metavar="MODEL=SHARE"
    ),
]
TreeFile = Annotated[Path, typer.Option("--output", "-o", help="The file to write: a mesh file that extends MESH.", metavar="FILE")]
Depth = Annotated[int, typer.Option(min=1, max=8, help="How many conditions may stand above a leaf.")]
TreeValue = Annotated[
    float | None, typer.Option(min=0.0, help="What a right answer is worth; default: 20 answers of the best model.", metavar="USD")
]
Force = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the same facts as JSON.")]


class _FitUnlessNamed(TyperGroup):
    """`partsong learn MESH RUN...` is `partsong learn fit MESH RUN...`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `fit` before arguments that name no command."""
        named = bool(args) and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named or not args else ["fit", *args])


app = typer.Typer(
    name="learn",
    cls=_FitUnlessNamed,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Learn from recorded runs: `partsong learn MESH RUN... -o learned` (the word `fit` may be left out).",
)


@app.command("fit", short_help="Learn gate, ensembles, weights and thresholds from runs.", epilog=_EXAMPLES)
def fit(
    mesh: Mesh,
    runs: Runs,
    output: Output = Path("learned"),
    budget: Budget = None,
    value_of_correct: ValueOfCorrect = None,
    max_loss: MaxLoss = 1.0,
    expected: Expected = "expected",
    grade: Grade = None,
    kind: Kind = None,
    judge: JudgeName = None,
    judge_budget: JudgeBudget = None,
    card: Cards = None,
    as_json: AsJson = False,
    allow: Allow = None,
) -> None:
    """Learn from runs whom to ask, when to stop and what that is worth, and write it as a folder that a mesh file names as `learned`.

    Cascades of MESH that trust by `learned` (`trust: {logprob: learned}`) get the cheapest thresholds that --max-loss can be promised of.
    A third of the rows is kept back to judge: figures and promises are of rows that nothing was learned from (a cascade's thresholds are
    chosen on them, by a test that allows for it). What is right is told by the
    rows' labels (metadata `expected`), by feedback, by a --judge (each pair of a row's answers in both orders, the three that most models
    gave; long answers win no advantage), or else by the models' agreement, which is said. Without --judge no model is asked.

    A model with fewer than 30 outcomes is new: what is expected of it comes from its --card and from what outcomes it has.
    """
    with learn_installed():  # NumPy and what stands on it: other commands do not wait for it
        from partsong.learning.saved import header, save_learned
        from partsong.learning.settings import Settings
        from partsong_cluster.cli.show_learned import learned_shown
        from partsong_cluster.outcomes.learned import learned_of_runs
        from partsong_cluster.outcomes.models import mesh_to_learn
    settings, tell = Settings(max_loss / 100, budget, value_of_correct), Console(stderr=True, highlight=False)
    with _stoppable("" if judge is None else " but the judge's verdicts"), learn_installed(), tell.status("reading runs") as status:
        loaded = mesh_to_learn(mesh, allowed_by(allow))
        learned = learned_of_runs(
            runs,
            reading_of(expected, grade, kind),
            settings,
            mesh=loaded.mesh,
            judge=_judging(judge, loaded, output, judge_budget, status),
            cards=dict(_card(one, loaded.mesh.models) for one in card or ()),
            read=lambda rows: status.update(f"learning from {rows:,} rows"),
            embed=None if loaded.mesh.embeddings is None else _embedding(placed(loaded.folder, loaded.mesh.embeddings), status),
        )
    save_learned(learned, output)
    if as_json:
        typer.echo(in_json(json.dumps(header(learned), indent=2)))
    else:
        Console(highlight=False).print(learned_shown(learned, str(output)))


@app.command("tree", short_help="Fit a small decision tree to runs, as YAML to be edited.", epilog=_TREE_EXAMPLES)
def tree(
    mesh: Mesh,
    runs: Runs,
    output: TreeFile = Path("tree.yaml"),
    depth: Depth = 3,
    value_of_correct: TreeValue = None,
    expected: Expected = "expected",
    grade: Grade = None,
    force: Force = False,
    as_json: AsJson = False,
    allow: Allow = None,
) -> None:
    """Fit a decision tree that a person can read: which model for which rows, by length, code, urgency, metadata and the like.

    Beside each leaf stand its rows, and what the chosen model and the best other gave there, with 95 % intervals. The figures above the
    tree are of rows that trees grown in the same way had not seen. Rows that do not say who was right are left out. No model is asked.
    """
    with learn_installed():
        from partsong.routing.grown import grown
        from partsong_cluster.cli.tree_file import Source, facts_of, in_terminal, tree_file
        from partsong_cluster.outcomes.models import mesh_models
        from partsong_cluster.outcomes.runs import outcomes_of_runs
    if output.exists() and not force:
        what = f"{output} is there already"
        raise InputError("file-exists", what, at=Place(str(output)), remedy="name another with -o, or write over it with --force")
    with _stoppable(), learn_installed(), Console(stderr=True, highlight=False).status("reading runs"):
        found = outcomes_of_runs(runs, reading_of(expected, grade, None), mesh_models(mesh, allowed_by(allow)))
        hidden = frozenset({expected, EXPECTED, "grader"})
        result = grown([row.task for row in found.rows], found.outcomes, value_usd=value_of_correct, depth=depth, hidden=hidden)
    source = Source(mesh, found.source, datetime.now(UTC).date().isoformat())
    output.write_text(tree_file(result, source, output.parent), encoding="utf-8")
    if as_json:
        typer.echo(in_json(json.dumps(facts_of(result, source), indent=2)))
    else:
        typer.echo(in_terminal(result, source, output))
    for warning in (*found.warnings, *result.warnings):
        typer.echo(f"warning: {warning}", err=True)


@contextmanager
def _stoppable(kept: str = "") -> Iterator[None]:
    """Let Ctrl-C end the command; what is learned is written afterwards, at once."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"stopped, nothing written{kept}", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _judging(
    judge: str | None, loaded: LoadedMesh, output: Path, budget_usd: float | None, status: Status
) -> Callable[[Sequence["Replies"]], Sequence[str]]:
    """Return what gives rows a judge's verdicts; nothing does without one."""
    if judge is None:
        return lambda _: ()
    from partsong_cluster.outcomes.judge import Judge

    judging = Judge(judge, loaded, output / "judge", budget_usd)
    return lambda rows: asyncio.run(judging.judge(rows, lambda done, of: status.update(f"{judge} judges: {done:,} of {of:,} questions")))


def _embedding(folder: Path, status: Status) -> Callable[[Sequence[str]], "Embedded"]:
    """Return what embeds prompts by the folder's model, and then learns."""
    from partsong.learning.embedding import Embedder

    embedder = Embedder.of(folder)

    def embed(prompts: Sequence[str]) -> "Embedded":
        found = embedder.embedded(prompts, lambda done: status.update(f"embedding {done:,} of {len(prompts):,} prompts"))
        status.update(f"learning from {len(prompts):,} rows")
        return found

    return embed


def reading_of(expected: str, grade: str | None, kind: str | None) -> "Reading":
    """Return how runs are read, by the three options."""
    from partsong_cluster.outcomes.runs import Reading

    return Reading(expected, grader_named(grade), KIND_FIELDS if kind is None else (kind,))


def _card(given: str, models: Mapping[str, ModelSpec]) -> tuple[str, float]:
    """Return a model and the share right that its card lets expect; InputError where the words are neither."""
    model, _, share = given.rpartition("=")
    if model and model not in models:
        raise InputError("unknown-name", f"--card {given}: the mesh has no model {model!r}", remedy=nearest(model, tuple(models)))
    with suppress(ValueError):
        if model and 0.0 < float(share) < 1.0:
            return model, float(share)
    remedy = "write the share right that is expected: --card mini=0.8"
    raise InputError("bad-card", f"--card {given} is no model and a share between 0 and 1", remedy=remedy)
