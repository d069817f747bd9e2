"""Metrics of a process for Prometheus. No label names a tenant: their number has no end."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from api.parts import Part, Role

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The counters of one app, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "kuota_http_requests",
            "HTTP requests answered.",
            ["route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "kuota_http_request_seconds",
            "Time from a request's first byte to its answer's last.",
            ["route"],
            registry=self.registry,
            buckets=BUCKETS,
        )
        self.facts = Counter(
            "kuota_facts",
            "Facts answered, by what became of them.",
            ["status"],
            registry=self.registry,
        )
        self.heads_advanced = Counter(
            "kuota_heads_advanced",
            "Tenants brought to the present because something was due.",
            registry=self.registry,
        )
        self.facts_rated = Counter(
            "kuota_facts_rated_later",
            "Facts that were kept unrated, and rated when their rate had come.",
            registry=self.registry,
        )
        self.facts_settled = Counter(
            "kuota_facts_settled",
            "Facts read again because their tenants had late ones.",
            registry=self.registry,
        )
        self.facts_corrected = Counter(
            "kuota_facts_corrected",
            "Facts that are charged otherwise since their tenants were settled.",
            registry=self.registry,
        )
        self.refused_by_rate = Counter(
            "kuota_rate_limited",
            "Requests and operations refused because a limit was spent, by the limit.",
            ["policy"],
            registry=self.registry,
        )
        self.rates_alone = Counter(
            "kuota_rate_limits_alone",
            "Limits that a process counted by itself, because Valkey was away.",
            registry=self.registry,
        )
        self.feed_lag = Histogram(
            "kuota_feed_lag_seconds",
            "Time from a commit until the change was sent to all who follow it.",
            registry=self.registry,
            buckets=BUCKETS,
        )
        self.closes = Counter(
            "kuota_socket_closes",
            "Websockets that ended, by the code they were closed with; 1006: without any.",
            ["code"],
            registry=self.registry,
        )
        self.failures = Counter(
            "kuota_failures", "Exceptions nobody expected.", ["where"], registry=self.registry
        )

    def serve(self, role: Role) -> None:
        """Show what the process is for."""
        parts = Gauge(
            "kuota_part",
            "1 for each part that the process serves.",
            ["part"],
            registry=self.registry,
        )
        for part in Part:
            parts.labels(part.value).set(part in role.parts)
        Gauge(
            "kuota_workers", "Processes that share the process's socket.", registry=self.registry
        ).set(role.workers)

    def watch(self, name: str, description: str, read: Callable[[], float]) -> None:
        """Show what `read` answers whenever metrics are collected."""
        Gauge(name, description, registry=self.registry).set_function(read)

    def page(self) -> tuple[bytes, str]:
        """The text Prometheus reads, and its media type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
