"""Metrics: numbers for the operator, with labels of which there are few; nothing of anybody."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from fhir_server.measures import UNITS, AnchorMeasures, Histogram, Measures
from fhir_server.portal.metrics import MetricsRoutes
from fhir_server.portal.together import Gauges, Shared
from tests.fhir_server.clinic import observation, patient
from tests.fhir_server.rest.served import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")


ANCHORING = AnchorMeasures(
    2,
    7.5,
    0,
    block=9,
    gas_per_event=49.1,
    uncosigned=2,
    conflicts=1,
    anchors=3,
    paid=10**19,
    failures=Counter({"HistoryError": 1}),
)
PREPARED = Counter(written=5, again=2)
GAUGES = Gauges(
    lambda: 1, lambda: ANCHORING, lambda: Histogram(UNITS), lambda: PREPARED, lambda: 3, lambda: 4
)


def client(token: str = "", host: str = "127.0.0.1") -> httpx2.AsyncClient:
    from fastapi import FastAPI

    app = FastAPI()
    shared = Shared(Path("nowhere"), Measures(), GAUGES)
    app.include_router(MetricsRoutes(shared, token).router)
    transport = httpx2.ASGITransport(app=app, client=(host, 1))
    return httpx2.AsyncClient(transport=transport, base_url="http://x")


async def values(served: Served) -> dict[tuple[str, ...], float]:
    text = (await served.client.get("/metrics")).text
    return {
        (sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_answers_are_counted_by_interaction_and_status(served: Served) -> None:
    before = await values(served)
    await served.ask("GET", "/Patient/none")
    await served.ask("GET", "/Patient?name=x")
    after = await values(served)
    for interaction, status in (("read", "404"), ("search-type", "200")):
        key = ("consentry_answers_total", f"interaction={interaction}", f"status={status}")
        assert after[key] - before.get(key, 0) == 1
    timed = ("consentry_answer_seconds_count", "interaction=read")
    assert after[timed] - before.get(timed, 0) == 1
    assert after["consentry_commit_units_count",] > before["consentry_commit_units_count",]
    assert after["process_resident_memory_bytes",] > 0


async def test_no_label_says_anything_of_anyone(served: Served) -> None:
    """Whatever is sent: ids, names, made-up types, methods and purposes make no label."""
    secret = "Gustafsson-Lindqvist"
    await served.client.put(
        f"/fhir/Patient/{secret}", json=patient(secret, name=[{"family": secret}])
    )
    await served.client.put(f"/fhir/Observation/{secret}", json=observation(secret, secret))
    for method, url in (
        ("GET", f"/Patient?name={secret}"),
        ("GET", f"/{secret}/{secret}"),
        ("GET", f"/Patient/{secret}/${secret}"),
        ("POST", f"/${secret}"),
        (secret.upper(), "/Patient"),
        ("GET", f"/Patient/{secret}/_history/{secret}"),
    ):
        await served.ask(method, url)
    text = (await served.client.get("/metrics")).text
    assert secret.lower() not in text.lower()
    assert text.count("consentry_answers_total{") < 60


async def test_without_a_token_only_this_machine_is_answered() -> None:
    assert (await client().get("/metrics")).status_code == 200
    assert (await client(host="192.0.2.7").get("/metrics")).status_code == 403


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip", "via"])
async def test_what_a_proxy_on_this_machine_passes_on_is_refused(header: str) -> None:
    assert (await client().get("/metrics", headers={header: "x"})).status_code == 403


@pytest.mark.parametrize(
    ("sent", "status"),
    [("Bearer right", 200), ("Bearer wrong", 403), ("right", 403), ("", 403), ("Bearer", 403)],
)
async def test_with_a_token_only_who_has_it_is_answered(sent: str, status: int) -> None:
    for host in ("127.0.0.1", "192.0.2.7"):
        answer = await client("right", host).get("/metrics", headers={"authorization": sent})
        assert answer.status_code == status


async def test_how_anchoring_is_is_told() -> None:
    async with client() as asking:
        text = (await asking.get("/metrics")).text
    told = {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert told["consentry_anchor_lag_events"] == 2
    assert told["consentry_anchor_lag_seconds"] == 7.5
    assert told["consentry_anchor_gas_per_event"] == 49.1
    assert told["consentry_anchor_block"] == 9
    assert told["consentry_anchor_uncosigned"] == 2
    assert told["consentry_anchor_conflicts_total"] == 1
    assert told["consentry_anchor_fees_wei_total"] == 1e19
    assert 'consentry_anchor_failures_total{kind="HistoryError"} 1.0' in text
    assert told["consentry_anchor_stopped"] == 0


async def test_how_many_large_transactions_were_prepared_in_vain_is_told() -> None:
    async with client() as asking:
        text = (await asking.get("/metrics")).text
    assert 'consentry_prepared_transactions_total{outcome="again"} 2.0' in text
    assert 'consentry_prepared_transactions_total{outcome="written"} 5.0' in text


async def test_buckets_are_cumulated() -> None:
    measures = Measures()
    for seconds in (0.0005, 0.002, 0.002, 100.0):
        measures.answered("read", 200, seconds)
    assert sum(measures.seconds["read"].counts) == 4
    assert measures.seconds["read"].counts[:2] == [1, 2]
    assert measures.seconds["read"].counts[-1] == 1


async def test_counting_costs_next_to_nothing() -> None:
    measures, started = Measures(), time.perf_counter()
    for _ in range(10_000):
        measures.answered("read", 200, 0.0004)
    assert (time.perf_counter() - started) / 10_000 < 0.0001  # 0.5 us where it was measured


def process(folder: Path, number: int, **gauges: int) -> Shared:
    """The numbers of a process, as another one has written them."""
    measures = Measures()
    for _ in range(number):
        measures.answered("read", 200, 0.01)
    told = {"events": 10, "waiting": 3, "reindexing": 4, **gauges}
    calls = {name: (lambda value=value: value) for name, value in told.items()}
    calls |= {"batches": lambda: Histogram(UNITS), "anchoring": lambda: ANCHORING}
    calls |= {"prepared": lambda: PREPARED}
    shared = Shared(folder, measures, Gauges(**calls))
    shared._write(folder / "metrics" / f"{number}.json")
    return shared


async def test_whichever_process_is_asked_tells_of_all(tmp_path: Path) -> None:
    one = process(tmp_path, 5, events=12)
    process(tmp_path, 7, events=11, waiting=9)
    (tmp_path / "metrics" / "5.json").rename(tmp_path / "metrics" / f"{os.getpid()}.json")
    told = one.told()
    assert told.measures.answers == {("read", 200): 12}
    assert sum(told.measures.seconds["read"].counts) == 12
    assert (told.events, told.waiting, told.processes) == (12, 12, 2)
    assert told.prepared == {"written": 10, "again": 4}
    anchoring = told.anchoring
    assert (anchoring.lag, anchoring.waited, anchoring.block) == (2, 7.5, 9)
    assert (anchoring.anchors, anchoring.paid) == (6, 2 * 10**19)
    assert anchoring.failures == {"HistoryError": 2}
    assert one.told().measures.answers == {("read", 200): 12}  # a look counts nothing twice


async def test_a_process_that_has_died_is_forgotten(tmp_path: Path) -> None:
    one = process(tmp_path, 5)
    process(tmp_path, 7)
    (tmp_path / "metrics" / "5.json").unlink()
    os.utime(tmp_path / "metrics" / "7.json", (1, 1))
    assert one.told().processes == 1
    assert list((tmp_path / "metrics").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"answers": 1}', b"null"])
async def test_numbers_that_can_not_be_read_are_left_out(tmp_path: Path, content: bytes) -> None:
    one = process(tmp_path, 5)
    (tmp_path / "metrics" / "5.json").write_bytes(content)
    assert one.told().processes == 1


async def test_numbers_go_with_their_process(tmp_path: Path) -> None:
    one = process(tmp_path, 5)
    (tmp_path / "metrics" / "5.json").unlink()
    task = asyncio.create_task(one.keep())
    await asyncio.sleep(0.05)
    assert [f.name for f in (tmp_path / "metrics").iterdir()] == [f"{os.getpid()}.json"]
    task.cancel()
    await asyncio.wait([task])
    assert list((tmp_path / "metrics").iterdir()) == []
