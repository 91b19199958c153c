"""Levels: how deep queues are, told by whoever has one through `Telemetry.gauge`. Every queue has one; its description states its bound."""

from typing import NamedTuple

__all__ = [
    "BREAKER",
    "BUDGET_LEFT",
    "CALLS_AT_ONCE",
    "CALLS_IN_FLIGHT",
    "CALLS_LIMITED",
    "CALLS_WAITING",
    "EPOCH",
    "JOB_BUDGET_USED",
    "JOB_COST",
    "JOB_LEFT",
    "JOB_RATE",
    "JOB_ROWS",
    "JOB_SHARE",
    "JOURNAL_LOOKUPS",
    "JOURNAL_OLDEST",
    "JOURNAL_PENDING",
    "LEVELS",
    "LIMITS_WAITING",
    "LIMIT_USED",
    "MESSAGES_UNSENT",
    "NEWS_WAITING",
    "REPLIES_WAITING",
    "ROWS_UNDER_WAY",
    "ROWS_UNPUBLISHED",
    "SPANS_WAITING",
    "TENURE",
    "WAIT_P95",
    "WORKERS",
    "WORKER_WAITING",
    "Level",
]


class Level(NamedTuple):
    """What is told of one; a line of the reference page."""

    name: str
    unit: str
    description: str


ROWS_UNDER_WAY = Level(
    "partsong.rows.under_way", "{row}", "Rows that a coordinator is at work on; at most what the run has in flight (`--concurrency`)."
)
ROWS_UNPUBLISHED = Level(
    "partsong.rows.unpublished",
    "{row}",
    "Rows that are done and not yet in the output files; from 4,096 on no row is begun, so at most that and the rows under way.",
)
CALLS_WAITING = Level(
    "partsong.calls.waiting",
    "{call}",
    "Calls at a coordinator that wait for a permit, by partsong.model; at most the calls that the rows under way make at once.",
)
CALLS_LIMITED = Level(
    "partsong.calls.limited",
    "{call}",
    "Calls at a coordinator that have a permit and wait for a rate or a budget, by partsong.model; at most its permits.",
)
CALLS_IN_FLIGHT = Level(
    "partsong.calls.in_flight",
    "{call}",
    "Permits in use at a coordinator, by partsong.model; at most the calls that all workers make at once, over Ray half as many again.",
)
CALLS_AT_ONCE = Level(
    "partsong.calls.at_once",
    "{call}",
    "How many calls a coordinator's adaptive limit lets out at once, by partsong.model; between 1 and what all workers make at once.",
)
BREAKER = Level(
    "partsong.breaker", "1", "What a coordinator's breaker does with calls, by partsong.model: 0 lets them out, 1 a few to see, 2 none."
)
WORKER_WAITING = Level(
    "partsong.worker.waiting",
    "{call}",
    "Calls that are at a worker before it has room for them, by partsong.model; at most half its `concurrency`, and while other workers "
    "of the model are down what was theirs; in one process none.",
)
LIMITS_WAITING = Level(
    "partsong.limits.waiting", "{call}", "Calls of all coordinators that wait for a rate or a budget; at most all permits."
)
BUDGET_LEFT = Level(
    "partsong.budget.left",
    "{USD}",
    "US dollars that the tightest limit of a run or a day leaves, worst cases in flight taken off; absent where none is set.",
)
JOURNAL_PENDING = Level(
    "partsong.journal.pending",
    "{record}",
    "Records that wait for the journal's next transaction; at most 4,096 and the last append, the next ones wait at their rows.",
)
JOURNAL_LOOKUPS = Level(
    "partsong.journal.lookups", "{lookup}", "Look-ups in the cache that wait for the journal's next query; at most 4,096."
)
MESSAGES_UNSENT = Level(
    "partsong.messages.unsent",
    "{item}",
    "What waits for an earlier message to the same actor (partsong.to) to come back; at most a few a call of the rows under way.",
)
REPLIES_WAITING = Level(
    "partsong.replies.waiting",
    "{reply}",
    "Replies that an actor has and its callers have not collected; at most the requests under way, and those of callers that died lately.",
)
NEWS_WAITING = Level(
    "partsong.news.waiting", "{news}", "What the pools have told their members and these have not collected; at most a few a permit."
)
SPANS_WAITING = Level(
    "partsong.telemetry.waiting", "{span}", "Spans that wait to be delivered; at most 8,192 a place they go to, the rest is dropped."
)

LIMIT_USED = Level(
    "partsong.limit.used", "1", "Share of a rate, or of a budget of a day, that is used or held by calls in flight, by partsong.limit."
)
WORKERS = Level("partsong.workers", "{worker}", "Workers by partsong.model and partsong.state: wanted, ready, starting, draining.")
WAIT_P95 = Level("partsong.calls.wait_p95", "s", "What 95 % of the calls waited for a permit at most, lately, by partsong.model.")
JOURNAL_OLDEST = Level(
    "partsong.journal.oldest", "s", "For how long the oldest append has not been durable; seconds mean that the store is slow or away."
)
EPOCH = Level("partsong.epoch", "1", "The number of the epoch that an actor (partsong.of) holds; a rise means that it was replaced.")
TENURE = Level(
    "partsong.tenure",
    "1",
    "Whether the store has confirmed the epoch of an actor (partsong.of) lately: 1; at 0 it makes no call, grants nothing.",
)
JOB_ROWS = Level("partsong.job.rows", "{row}", "Rows of a run in its output by partsong.run and partsong.state: answered, failed.")
JOB_SHARE = Level("partsong.job.share", "1", "Share of a run's input that is done, where it is known, by partsong.run.")
JOB_COST = Level("partsong.job.cost", "{USD}", "US dollars of the rows in a run's output, by partsong.run.")
JOB_BUDGET_USED = Level(
    "partsong.job.budget_used", "1", "Share of its budget that a run's rows have cost, by partsong.run; absent without one."
)
JOB_RATE = Level("partsong.job.rate", "{row}/s", "Rows a second of a run over the last 20 s, by partsong.run.")
JOB_LEFT = Level("partsong.job.left", "s", "Seconds that a run will take still at its present rate, by partsong.run; absent while unknown.")

LEVELS = (
    ROWS_UNDER_WAY,
    ROWS_UNPUBLISHED,
    CALLS_WAITING,
    CALLS_LIMITED,
    CALLS_IN_FLIGHT,
    CALLS_AT_ONCE,
    BREAKER,
    WORKER_WAITING,
    LIMITS_WAITING,
    BUDGET_LEFT,
    JOURNAL_PENDING,
    JOURNAL_LOOKUPS,
    MESSAGES_UNSENT,
    REPLIES_WAITING,
    NEWS_WAITING,
    SPANS_WAITING,
    LIMIT_USED,
    WORKERS,
    WAIT_P95,
    JOURNAL_OLDEST,
    EPOCH,
    TENURE,
    JOB_ROWS,
    JOB_SHARE,
    JOB_COST,
    JOB_BUDGET_USED,
    JOB_RATE,
    JOB_LEFT,
)
