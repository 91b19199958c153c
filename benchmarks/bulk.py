"""Bulk: bytes that a coordinator sends for a row with a large image that three models are asked about.

Over Ray with a worker a model, journal on; the upstream is a real HTTP server. Counted are the bytes in the arguments of all calls that the
system's actors make to each other, and what they put into Ray's object store.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import ray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from partsong_actors.engine import RayEngine  # noqa: E402  after the path of the test servers
from providers.process import running_server  # noqa: E402

from partsong.contracts import Answer, Message, Row, Task, TextPart  # noqa: E402
from partsong.contracts.task import ImagePart  # noqa: E402
from partsong.mesh import load_text  # noqa: E402

MESH = """\
version: 1
models:
  one: {{adapter: openai, model: one, base_url: "{url}", api_key: {{file: key}}, accepts: [text, image]}}
  two: {{adapter: openai, model: two, base_url: "{url}", api_key: {{file: key}}, accepts: [text, image]}}
  three: {{adapter: openai, model: three, base_url: "{url}", api_key: {{file: key}}, accepts: [text, image]}}
plans: {{vote: {{ensemble: {{members: [one, two, three], merge: majority, early: false}}}}}}
routes: [{{use: vote}}]
"""


def counting(folder: str) -> Callable[[], None]:
    """Return what makes a process of Ray's write down how many bytes it sends, in a file of its own in the folder."""

    def count(sent: int) -> None:
        with (Path(folder) / str(os.getpid())).open("a") as file:
            file.write(f"{sent}\n")

    def hook() -> None:
        call, put = ray.actor.ActorHandle._actor_method_call, ray.put

        def counted_call(actor, method, args=None, *others, **options):
            count(sum(len(one) for one in args or () if isinstance(one, bytes)))
            return call(actor, method, args, *others, **options)

        def counted_put(value, *others, **options):
            count(len(value) if isinstance(value, bytes) else 0)
            return put(value, *others, **options)

        ray.actor.ActorHandle._actor_method_call, ray.put = counted_call, counted_put

    return hook


def sent_so_far(folder: Path) -> int:
    """Return the bytes that all processes have sent."""
    return sum(int(line) for file in folder.iterdir() for line in file.read_text().split())


async def work(folder: Path, url: str, rows: int, image_bytes: int, sent: Path) -> None:
    """Answer the rows one by one, and say what each took."""
    loaded = load_text(MESH.format(url=url), folder, env={})
    async with RayEngine(
        loaded.mesh, "sqlite:///journal.db", folder, folder=folder, secrets=dict.fromkeys(loaded.mesh.models, "k")
    ) as engine:
        before = 0
        for number in range(rows + 1):
            if number == 1:  # the first one starts the workers
                before = sent_so_far(sent)
            parts = (TextPart(text="What is it?"), ImagePart(data=os.urandom(image_bytes)))
            row = Row(run="bulk", row=number, task=Task(id=str(number), messages=(Message(role="user", parts=parts),)))
            reply = (await engine.answer(row)).reply
            assert isinstance(reply, Answer), reply
        each = (sent_so_far(sent) - before) / rows
    print(f"{rows} rows, each with an image of {image_bytes:,} bytes: {each:,.0f} bytes a row, {each / image_bytes:.2f} times the image")


def main() -> None:
    """Print the figure."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=20)
    arguments.add_argument("--bytes", type=int, default=2_000_000)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="partsong-bulk-") as made, running_server("providers.openai", "--key", "k") as server:
        folder = Path(made)
        (folder / "key").write_text("k\n")
        sent = folder / "sent"
        sent.mkdir()
        hook = {"worker_process_setup_hook": counting(str(sent))}
        ray.init(num_cpus=4, include_dashboard=False, logging_level="error", object_store_memory=500_000_000, runtime_env=hook)
        asyncio.run(work(folder, server.url, given.rows, given.bytes, sent))
        ray.shutdown()


if __name__ == "__main__":
    main()
