"""Traces of the stages of a request, by OpenTelemetry, if it is installed (``pip install consentry[otel]``) and asked for.

It is asked for by the variables that OpenTelemetry itself reads: ``OTEL_EXPORTER_OTLP_ENDPOINT`` (or the one for traces
alone), ``OTEL_SERVICE_NAME`` and so on; ``OTEL_SDK_DISABLED`` turns it off.  Spans carry an interaction, a resource type
and a status: no id, no url, no message of an error, nothing of anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from fhir_server.errors import SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_NAME = "consentry"
_NOTHING: AbstractContextManager[None] = nullcontext()


class Tracing:
    """The spans of one server; without a provider there are none, and they cost next to nothing."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._provider = provider
        self._tracer: Tracer | None = provider.get_tracer(_NAME) if provider else None

    def stage(self, name: str) -> AbstractContextManager[object]:
        """The span of one stage, inside that of its request."""
        if self._tracer is None:
            return _NOTHING
        return self._tracer.start_as_current_span(
            name, record_exception=False, set_status_on_exception=False
        )

    def request(self, headers: Mapping[str, str]) -> AbstractContextManager[Span | None]:
        """The span of a request, inside that of its caller if it names one (W3C Trace Context)."""
        if self._tracer is None:
            return _NOTHING
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        return self._tracer.start_as_current_span(
            "request",
            context=TraceContextTextMapPropagator().extract(headers),
            kind=SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        )

    def close(self) -> None:
        """Send what was not sent yet."""
        if self._provider is not None:
            self._provider.shutdown()


def tell(span: Span | None, interaction: str, status: int) -> None:
    """What a request came to."""
    if span is not None:
        span.set_attribute("fhir.interaction", interaction or "none")
        span.set_attribute("http.response.status_code", status)


def open_tracing(environment: Mapping[str, str]) -> Tracing:
    """Traces as the variables ask for them; none without an endpoint.

    Raises:
        SettingsError: They ask for traces, and OpenTelemetry is not installed.
    """
    wanted = any(environment.get(name) for name in _ENDPOINTS)
    if not wanted or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return Tracing()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsError(
            "OTEL_EXPORTER_OTLP_ENDPOINT asks for traces: install consentry[otel]"
        ) from error
    name = environment.get("OTEL_SERVICE_NAME", _NAME)
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)
