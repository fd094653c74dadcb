"""Traces: the stages of a request, with nothing of anybody; none unless they are asked for."""

from __future__ import annotations

import builtins
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fhir_server.errors import SettingsError
from fhir_server.tracing import Tracing, open_tracing, tell
from tests.fhir_server.clinic import HOUSE, OTHER, Clinic, observation, patient

SECRET = "Gustafsson-Lindqvist"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traced(clinic: Clinic, spans: InMemorySpanExporter) -> Clinic:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    clinic.pipeline = replace(clinic.pipeline, tracing=Tracing(provider))
    return clinic


async def test_a_read_has_a_span_for_each_stage(
    traced: Clinic, spans: InMemorySpanExporter
) -> None:
    await traced.put(patient("p"))
    spans.clear()
    await traced.get(HOUSE, "Patient/p")
    names = [span.name for span in spans.get_finished_spans()]
    assert names == ["authenticate", "authorise", "perform", "redact", "record"]


async def test_no_span_says_anything_of_anyone(traced: Clinic, spans: InMemorySpanExporter) -> None:
    await traced.put(patient(SECRET, name=[{"family": SECRET}]))
    await traced.put(observation(SECRET, SECRET))
    for who in (HOUSE, OTHER, "nobody"):
        for url in (f"Patient/{SECRET}", f"Patient?name={SECRET}", f"{SECRET}/x", f"${SECRET}"):
            await traced.get(who, url)
    await traced.ask(HOUSE, "POST", "Patient", f'{{"{SECRET}')
    told = "".join(span.to_json() for span in spans.get_finished_spans())
    assert spans.get_finished_spans()
    assert SECRET not in told
    assert HOUSE not in told
    assert all(not span.events for span in spans.get_finished_spans())


async def test_an_error_of_ours_leaves_no_message_in_a_span(
    traced: Clinic, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr("fhir_server.pipeline.run.happenings_of", broken)
    answer = await traced.get(HOUSE, "Patient/p")
    assert answer.status in (404, 500)
    assert SECRET not in "".join(span.to_json() for span in spans.get_finished_spans())


def test_a_request_belongs_to_the_trace_of_its_caller(spans: InMemorySpanExporter) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace = "0af7651916cd43dd8448eb211c80319c"
    with Tracing(provider).request({"traceparent": f"00-{trace}-b7ad6b7169203331-01"}) as span:
        tell(span, "read", 200)
    (found,) = spans.get_finished_spans()
    assert f"{found.context.trace_id:032x}" == trace
    assert dict(found.attributes or {}) == {
        "fhir.interaction": "read",
        "http.response.status_code": 200,
    }


@pytest.mark.parametrize("header", ["", "00-x", "garbage" * 100])
def test_a_malformed_trace_context_is_as_if_there_were_none(
    spans: InMemorySpanExporter, header: str
) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    with Tracing(provider).request({"traceparent": header}):
        pass
    assert len(spans.get_finished_spans()) == 1


@pytest.mark.parametrize(
    "environment",
    [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1", "OTEL_SDK_DISABLED": "true"}],
)
def test_there_are_no_traces_unless_they_are_asked_for(environment: dict[str, str]) -> None:
    with open_tracing(environment).request({}) as span, open_tracing(environment).stage("x"):
        assert span is None


def test_traces_that_can_not_be_made_are_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SettingsError, match="install consentry"):
        open_tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"})
