"""Speed: a plain bounded aiohttp loop in one process against `partsong run` over Ray with two workers, journal on, same server.

Both ask a real HTTP server (a process of its own, 50 ms a reply) for the same prompts with the same number of calls in flight, in turn,
several times. Rates are taken over the middle 90 % of the rows, so that neither starting nor ending counts; what is compared is the
ratio within a round. With `--guarded` each round runs once more with all that guards a call turned on: limits of model and account, a
budget (all far above need), hedges; what is compared is the ratio to the run without them.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import uvloop

ROOT = Path(__file__).resolve().parent.parent
PARTSONG = Path(sys.executable).with_name("partsong")
MESH = """\
version: 1
models:
  upstream:
    adapter: openai
    model: test-model
    base_url: {url}
    api_key: {{env: BENCH_KEY}}
    price: {{input: 0.15, output: 0.60}}
    workers: {{min: 2, max: 2}}
    concurrency: {concurrency}
"""
GUARDS = """\
    account: acct
    limits: {requests_per_minute: 10000000, tokens_per_minute: 1000000000, calls_in_flight: 100000, usd_per_run: 1000, usd_per_day: 1000}
    hedge: {after: p95, share: 0.01}
accounts:
  acct: {requests_per_minute: 10000000, tokens_per_minute: 1000000000}
"""


def rate(times_s: list[float]) -> float:
    """Rows a second over the middle 90 % of the times at which rows were answered."""
    times_s = sorted(times_s)
    cut = len(times_s) // 20
    return (len(times_s) - 2 * cut - 1) / (times_s[-1 - cut] - times_s[cut])


async def plain(url: str, prompts: list[str], in_flight: int) -> list[float]:
    """Ask every prompt, `in_flight` at a time, as a home-made script would; return when each reply came."""
    times_s: list[float] = []
    waiting = iter(prompts)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers={"authorization": "Bearer test-key"}) as session:

        async def worker() -> None:
            for prompt in waiting:
                body = {"model": "test-model", "messages": [{"role": "user", "content": prompt}]}
                async with session.post(f"{url}/chat/completions", json=body) as response:
                    reply = await response.json()
                    assert reply["choices"][0]["message"]["content"]
                times_s.append(time.time())

        await asyncio.gather(*[worker() for _ in range(in_flight)])
    return times_s


def ours(url: str, prompts: list[str], in_flight: int, folder: Path, *, guarded: bool = False) -> list[float]:
    """Run the prompts as a user would; return when each row was answered, from the journal."""
    mesh, rows, out = folder / "mesh.yaml", folder / "in.jsonl", folder / "out"
    mesh.write_text(MESH.format(url=url, concurrency=in_flight // 2) + (GUARDS if guarded else ""))
    rows.write_text("".join(json.dumps({"id": str(n), "prompt": prompt}) + "\n" for n, prompt in enumerate(prompts)))
    command = [PARTSONG, "run", mesh, rows, "-o", out, "--quiet", "--fresh", *(["--budget", "1000"] if guarded else [])]
    subprocess.run(command, check=True, env={**os.environ, "BENCH_KEY": "test-key"}, stdout=subprocess.DEVNULL)
    from partsong.journal.sqlite import SqliteStore

    store = SqliteStore.open(out / "journal.db", read_only=True)
    [run] = {json.loads((out / "run.json").read_text())["run"]}
    times_s: list[float] = []
    seq = 0
    while found := store.rows(run, seq, len(prompts)):
        times_s += [record.at_s for _, record in found]
        seq = found[-1][0]
    store.close()
    assert len(times_s) == len(prompts), f"{len(times_s)} of {len(prompts)} rows"
    return times_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=12_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--in-flight", type=int, nargs="*", default=[64, 256])
    parser.add_argument("--guarded", action="store_true", help="run each round also with limits, account, budget and hedges on")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    command = [sys.executable, "-m", "providers.openai", "--latency", str(options.latency), "--text", "42"]
    server = subprocess.Popen(command, cwd=ROOT / "tests", stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        found = []
        for in_flight in options.in_flight:
            rounds = []
            for number in range(options.rounds):
                prompts = [f"What is {n} plus {number}? Answer with the number only." for n in range(options.rows)]
                theirs = rate(uvloop.run(plain(url, prompts, in_flight)))
                with tempfile.TemporaryDirectory() as folder:
                    mine = rate(ours(url, prompts, in_flight, Path(folder)))
                guarded = mine
                if options.guarded:
                    with tempfile.TemporaryDirectory() as folder:
                        guarded = rate(ours(url, prompts, in_flight, Path(folder), guarded=True))
                rounds.append((theirs, mine, guarded))
            ratio = statistics.median(mine / theirs for theirs, mine, _ in rounds)
            found.append(
                {
                    "in_flight": in_flight,
                    "plain_rows_per_s": round(statistics.median(theirs for theirs, _, _ in rounds)),
                    "partsong_rows_per_s": round(statistics.median(mine for _, mine, _ in rounds)),
                    "ratio": round(ratio, 2),
                    "guarded_rows_per_s": round(statistics.median(guarded for _, _, guarded in rounds)),
                    "guarded_ratio": round(statistics.median(guarded / mine for _, mine, guarded in rounds), 2),
                    "limit_rows_per_s": round(in_flight / options.latency),
                }
            )
    finally:
        server.terminate()
        server.wait()
    if options.json:
        print(json.dumps(found))
        return
    print(f"rows/s, median of {options.rounds} rounds of {options.rows:,} rows")
    print(f"{'in flight':>9}  {'plain aiohttp':>13}  {'partsong':>8}  {'ratio':>5}" + ("  guarded  to partsong" if options.guarded else ""))
    for row in found:
        print(
            f"{row['in_flight']:>9}  {row['plain_rows_per_s']:>13,}  {row['partsong_rows_per_s']:>8,}  {row['ratio']:>5.2f}"
            + (f"  {row['guarded_rows_per_s']:>7,}  {row['guarded_ratio']:>11.2f}" if options.guarded else "")
        )


if __name__ == "__main__":
    main()
