"""What Prometheus reads: the load and the speed of the queue by role, and this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta

from prometheus_client import PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from taskq.errors import TaskqError
from taskq.web.figures import Ended, Load, Spread, ended_by_role, load_by_role
from taskq.web.house import House

WINDOW = timedelta(minutes=5)
LATELY = "in the last 5 minutes"
STATUSES = ("queued", "scheduled", "in_progress", "blocked", "awaiting_approval")
OF_ROLE = {
    "taskq_stale_tasks": ("stale", "Tasks that could have run for five minutes."),
    "taskq_stuck_tasks": ("stuck", "Tasks that run without a heartbeat for ten minutes."),
    "taskq_oldest_ready_seconds": ("oldest_ready_seconds", "For how long the oldest ready task has waited."),
    "taskq_workers": ("workers", "Live workers that play the role and are not draining."),
    "taskq_slots": ("slots", "Their slots."),
    "taskq_role_paused": ("paused", "Whether nobody claims the role."),
}
"""Gauges by role: the field of Load, and what it is."""


class Scraped(Collector):
    """The metrics of one scrape."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterable[Metric]:
        """These."""
        return self._metrics


async def exposition(house: House) -> bytes:
    """The text that a scrape returns; a database that is away is a figure like any other."""
    try:
        load = await load_by_role(house.reads)
        ended = await ended_by_role(house.reads, WINDOW)
    except (TaskqError, OSError):
        metrics = [is_up(0)]
    else:
        metrics = [is_up(1), *of_load(load), *of_ended(ended)]
    registry = CollectorRegistry()
    for collector in (Scraped([*metrics, *of_process(house)]), PROCESS_COLLECTOR, PLATFORM_COLLECTOR):
        registry.register(collector)
    return generate_latest(registry)


def is_up(value: int) -> Metric:
    """Whether the database answers."""
    return GaugeMetricFamily("taskq_database_up", "Whether the database answers.", value=value)


def of_process(house: House) -> Iterator[Metric]:
    """This process."""
    yield CounterMetricFamily(
        "taskq_serve_statements", "Statements that were sent to read the database.", value=house.reads.sent
    )
    yield GaugeMetricFamily(
        "taskq_serve_listeners", "Open pages and streams of events.", value=house.hub.listeners
    )


def of_load(load: Mapping[str, Load]) -> Iterator[Metric]:
    """What there is now."""
    tasks = GaugeMetricFamily("taskq_tasks", "Tasks that are not final.", labels=("role", "status"))
    for role, one in load.items():
        for status in STATUSES:
            tasks.add_metric((role, status), getattr(one, status))
    yield tasks
    for name, (field, help) in OF_ROLE.items():
        gauge = GaugeMetricFamily(name, help, labels=("role",))
        for role, one in load.items():
            gauge.add_metric((role,), float(getattr(one, field)))
        yield gauge


def of_ended(ended: Mapping[str, Ended]) -> Iterator[Metric]:
    """How what ended lately went."""
    tasks = GaugeMetricFamily("taskq_ended_tasks", f"Tasks that ended {LATELY}.", labels=("role", "status"))
    for role, one in ended.items():
        for status in ("completed", "failed", "cancelled"):
            tasks.add_metric((role, status), getattr(one, status))
    yield tasks
    for name, field, what in (
        ("taskq_wait_seconds", "wait_seconds", "For how long tasks waited in the line"),
        ("taskq_duration_seconds", "duration_seconds", "How long the last attempts took"),
    ):
        gauge = GaugeMetricFamily(name, f"{what}, of those that ended {LATELY}.", labels=("role", "quantile"))
        for role, one in ended.items():
            spread: Spread | None = getattr(one, field)
            if spread is not None:
                for quantile, value in (("0.5", spread.p50), ("0.95", spread.p95), ("0.99", spread.p99)):
                    gauge.add_metric((role, quantile), value)
        yield gauge
