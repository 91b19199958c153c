"""The application: every command mounted at its name."""

from typing import Annotated

import typer

from partsong_cluster.cli import config, deploy, experiment, jobs, journal, learn, models
from partsong_cluster.cli.ask import EXAMPLES as ASK_EXAMPLES
from partsong_cluster.cli.ask import ask
from partsong_cluster.cli.compare import EXAMPLES as COMPARE_EXAMPLES
from partsong_cluster.cli.compare import compare
from partsong_cluster.cli.demo import EXAMPLES as DEMO_EXAMPLES
from partsong_cluster.cli.demo import demo
from partsong_cluster.cli.doctor import DOCTOR_EXAMPLES, doctor
from partsong_cluster.cli.eval import EXAMPLES as EVAL_EXAMPLES
from partsong_cluster.cli.eval import evaluate_mesh
from partsong_cluster.cli.feedback import EXAMPLES as FEEDBACK_EXAMPLES
from partsong_cluster.cli.feedback import feedback
from partsong_cluster.cli.matrix import EXAMPLES as MATRIX_EXAMPLES
from partsong_cluster.cli.matrix import matrix
from partsong_cluster.cli.replay import EXAMPLES as REPLAY_EXAMPLES
from partsong_cluster.cli.replay import replay
from partsong_cluster.cli.run import EXAMPLES as RUN_EXAMPLES
from partsong_cluster.cli.run import run
from partsong_cluster.cli.submit import EXAMPLES as SUBMIT_EXAMPLES
from partsong_cluster.cli.submit import submit
from partsong_cluster.cli.top import TOP_EXAMPLES, top
from partsong_cluster.cli.trace import trace

__all__ = ["app"]

_TRACE_EXAMPLES = "Examples:  partsong trace out q17  |  partsong trace out 17 --json"

app = typer.Typer(
    name="partsong",
    help="Many voices, one answer: combine several AI models, on a laptop or a Ray cluster.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"partsong {version('partsong')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error; may stand anywhere.")] = False,
) -> None:
    """Combine several AI models into one better answer."""


app.command(short_help="Answer every row of a file; stop and continue at will.", epilog=RUN_EXAMPLES)(run)
app.command(short_help="Have a cluster do a run, without this machine.", epilog=SUBMIT_EXAMPLES)(submit)
app.add_typer(jobs.app)
app.command(epilog=ASK_EXAMPLES)(ask)
app.command(epilog=COMPARE_EXAMPLES)(compare)
app.command(short_help="Try another plan on recorded traffic, without a call.", epilog=REPLAY_EXAMPLES)(replay)
app.command("eval", short_help="Prove, or not, that combining pays at the same cost.", epilog=EVAL_EXAMPLES)(evaluate_mesh)
app.command(short_help="Draw what one row went through.", epilog=_TRACE_EXAMPLES)(trace)
app.command(short_help="Check a machine or a cluster; say what to do.", epilog=DOCTOR_EXAMPLES)(doctor)
app.command(short_help="Watch a running cluster.", epilog=TOP_EXAMPLES)(top)
app.command(short_help="See on real models what combining them brings.", epilog=DEMO_EXAMPLES)(demo)
app.command(short_help="Say what an answer was worth.", epilog=FEEDBACK_EXAMPLES)(feedback)
app.command(short_help="Show what each model is good at.", epilog=MATRIX_EXAMPLES)(matrix)
app.add_typer(learn.app)
app.add_typer(config.app)
app.add_typer(deploy.app)
app.add_typer(models.app)
app.add_typer(experiment.app)
app.add_typer(journal.app)
