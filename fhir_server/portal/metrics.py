"""``/metrics``: what a server counts, in Prometheus' text format.

No label names a patient, a record, a caller or a search: they are interactions and HTTP statuses, of which there are few.
How busy a clinic is and what it asks for is nobody's business all the same: without a token only this machine is
answered, and not what a proxy on it passes on.
"""

import hmac
from collections.abc import Iterator

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from fhir_server.measures import AnchorMeasures, Histogram
from fhir_server.portal.together import Shared

_OWN = frozenset({"127.0.0.1", "::1"})
_PASSED_ON = frozenset({"forwarded", "x-forwarded-for", "x-real-ip", "via"})


class MetricsRoutes:
    """``/metrics``."""

    def __init__(self, shared: Shared, token: str) -> None:
        self._token = token.encode()
        self._registry = CollectorRegistry()
        self._registry.register(_Collected(shared))
        ProcessCollector(registry=self._registry)
        self.router = APIRouter(include_in_schema=False)
        self.router.add_api_route("/metrics", self.metrics, methods=["GET"], response_model=None)

    async def metrics(self, request: Request) -> Response:
        """The numbers, for whoever may have them; else 403."""
        if not self._may(request):
            return Response("metrics are for this machine, or for who has the token\n", 403)
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)

    def _may(self, request: Request) -> bool:
        if self._token:
            sent = request.headers.get("authorization", "").encode()
            return hmac.compare_digest(sent, b"Bearer " + self._token)
        passed_on = any(name in request.headers for name in _PASSED_ON)
        return request.client is not None and request.client.host in _OWN and not passed_on


class _Collected(Collector):
    """Made anew for each scrape, so that counting costs nothing but counting."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def collect(self) -> Iterator[Metric]:
        """See ``Collector``."""
        told = self._shared.told()
        answers = CounterMetricFamily(
            "consentry_answers", "Answers, all of them on record", labels=("interaction", "status")
        )
        for (interaction, status), count in sorted(told.measures.answers.items()):
            answers.add_metric((interaction or "none", str(status)), count)
        yield answers
        seconds = HistogramMetricFamily(
            "consentry_answer_seconds", "Time until the first byte", labels=("interaction",)
        )
        for interaction, histogram in sorted(told.measures.seconds.items()):
            seconds.add_metric((interaction or "none",), _buckets(histogram), histogram.total)
        yield seconds
        units = HistogramMetricFamily("consentry_commit_units", "Units of work in a commit")
        units.add_metric((), _buckets(told.batches), told.batches.total)
        yield units
        prepared = CounterMetricFamily(
            "consentry_prepared_transactions",
            "Large transactions that were prepared beside others",
            labels=("outcome",),
        )
        for outcome, count in sorted(told.prepared.items()):
            prepared.add_metric((outcome,), count)
        yield prepared
        for name, words, value in (
            ("audit_events", "Events in the audit log", told.events),
            ("index_waiting_tokens", "Tokens waiting for the index", told.waiting),
            ("reindex_records", "Records that reindexing has before it", told.reindexing),
            ("processes", "Processes that these numbers are of", told.processes),
        ):
            yield GaugeMetricFamily(f"consentry_{name}", words, value=value)
        yield from _anchoring(told.anchoring)


def _anchoring(told: AnchorMeasures) -> Iterator[Metric]:
    for name, words, value in (
        ("lag_events", "Events that no anchor covers yet", told.lag),
        ("lag_seconds", "How long the oldest of them has been waiting", told.waited),
        ("stopped", "1 if anchoring has ended and somebody must look", told.stopped),
        ("block", "Block of the newest anchor", told.block),
        ("gas_per_event", "Gas per event of the newest anchor", told.gas_per_event),
        ("uncosigned", "Witnesses that did not cosign the newest checkpoint", told.uncosigned),
    ):
        yield GaugeMetricFamily(f"consentry_anchor_{name}", words, value=value)
    for name, words, value in (
        ("anchors", "Anchors that became final", told.anchors),
        ("fees_wei", "Paid for them", told.paid),
        ("replaced", "Transactions replaced by one with higher fees", told.replaced),
        ("moved", "Final anchors that a reorganisation took from where they stood", told.moved),
        ("conflicts", "Checkpoints of others refused as another history", told.conflicts),
    ):
        yield CounterMetricFamily(f"consentry_anchor_{name}", words, value=value)
    failures = CounterMetricFamily(
        "consentry_anchor_failures", "Runs that failed", labels=("kind",)
    )
    for kind, count in sorted(told.failures.items()):
        failures.add_metric((kind,), count)
    yield failures


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Cumulated, as Prometheus has them."""
    found, below = [], 0
    for bound, count in zip((*histogram.bounds, "+Inf"), histogram.counts, strict=True):
        below += count
        found.append((str(bound), float(below)))
    return found
