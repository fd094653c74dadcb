"""Search against a naive scan: the blind index may give more than is asked for, never less, and the answer is exact."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ..clinic import HOUSE, Clinic, Json, observation, open_clinic, patient

NAMES = ["Anna", "anna maria", "Änne", "O'Brien", "Müller-Lüdenscheid", "van der Berg", "Strasse", "straße", "李", "x,y|z\\",
         "Annabel", "annabelle smith", "İpek", "ANNA", "a", "$5"]  # fmt: skip
SYSTEMS = ["", "urn:a", "urn:b|c", "http://x/y,z"]
CODES = ["1", "A", "a", "b|c", "d,e", "f\\", "", "ä b"]
DATES = ["2020", "2020-03", "2020-03-01", "2020-02-29", "2020-03-01T00:30:00+01:00", "2020-02-29T23:30:00Z",
         "2020-03-01T12:00:00.123Z", "2019-12-31T23:59:59-05:00", "2020-03-31T23:59:59+14:00", "1850",
         "2199-06"]  # fmt: skip
ASKED = ["2020", "2020-03", "2020-03-01", "2020-02-29", "2020-03-01T00:30+01:00", "2020-02-29T23:30Z", "2019", "2020-04",
         "2020-03-01T12:00:00.123Z", "2020-03-01T12:00:00Z", "1850-06", "2199"]  # fmt: skip
PREFIXES = ["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"]


def escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("|", "\\|").replace("$", "\\$")


class Scene:
    """One clinic for all examples of a property."""

    def __init__(self, folder: Path, resources: list[Json]) -> None:
        self.loop = asyncio.new_event_loop()
        self.resources = resources
        self.clinic: Clinic = self.loop.run_until_complete(self._open(folder))

    async def _open(self, folder: Path) -> Clinic:
        clinic = await open_clinic(folder)
        for resource in self.resources:
            await clinic.put(resource)
        return clinic

    def find(self, query: str) -> set[str]:
        answer = self.loop.run_until_complete(self.clinic.get(HOUSE, f"{query}&_count=1000"))
        assert answer.status == 200, answer.body
        return {r["id"] for r in answer.resources}

    def expect(self, keep: Callable[[Json], bool]) -> set[str]:
        return {r["id"] for r in self.resources if keep(r)}

    def close(self) -> None:
        self.loop.run_until_complete(self.clinic.close())
        self.loop.close()


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = [
        patient(f"p{n}", name=[{"family": name, "given": [NAMES[(n * 7 + 3) % len(NAMES)]]}])
        for n, name in enumerate(NAMES)
    ]
    made += [
        patient(f"i{n}", identifier=[{k: v for k, v in (("system", system), ("value", code)) if v}])
        for n, (system, code) in enumerate((s, c) for s in SYSTEMS for c in CODES if s or c)
    ]
    made.append(patient("bare"))
    scene = Scene(tmp_path_factory.mktemp("people"), made)
    yield scene
    scene.close()


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = [
        observation(f"d{n}", "a", effectiveDateTime=d)
        for n, d in enumerate(DATES)
        if len(d) != 4 or d
    ]
    pairs = [
        ("2020-01-01", "2020-12-31"),
        ("2020-03-01", None),
        (None, "2020-03-01"),
        ("2019-12", "2020-03-01T10:00:00Z"),
    ]
    made += [
        observation(
            f"e{n}", "a", effectivePeriod={k: v for k, v in (("start", a), ("end", b)) if v}
        )
        for n, (a, b) in enumerate(pairs)
    ]
    made.append(observation("none", "a"))
    scene = Scene(tmp_path_factory.mktemp("events"), made)
    yield scene
    scene.close()


EACH = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def _plain(text: str) -> str:
    found = unicodedata.normalize("NFKD", text)
    return " ".join("".join(c for c in found if not unicodedata.combining(c)).casefold().split())


def _strings(resource: Json) -> list[str]:
    return [part for n in resource.get("name", ()) for part in (n["family"], *n["given"])]


@EACH
@given(
    wanted=st.sampled_from(NAMES) | st.text("anbelm ä'ü", min_size=1, max_size=6),
    cut=st.integers(1, 12),
)
def test_a_string_finds_what_begins_with_it(people: Scene, wanted: str, cut: int) -> None:
    wanted = wanted[:cut].strip()
    if not wanted:
        return
    have = people.find(f"Patient?name={quote(escaped(wanted))}")
    begins = people.expect(lambda r: any(_plain(s).startswith(_plain(wanted)) for s in _strings(r)))
    words = people.expect(
        lambda r: any(f" {_plain(wanted)}" in f" {_plain(s)}" for s in _strings(r))
    )
    assert begins <= have <= words


@EACH
@given(wanted=st.sampled_from(NAMES), cut=st.integers(0, 12))
def test_exact_means_exact_and_contains_means_anywhere(
    people: Scene, wanted: str, cut: int
) -> None:
    exact = people.find(f"Patient?name:exact={quote(escaped(wanted))}")
    assert exact == people.expect(lambda r: wanted in _strings(r))
    part = wanted[cut // 2 : cut + 1].strip()
    if part:
        found = people.find(f"Patient?name:contains={quote(escaped(part))}")
        assert found == people.expect(lambda r: any(_plain(part) in _plain(s) for s in _strings(r)))


@EACH
@given(
    system=st.sampled_from([None, *SYSTEMS]),
    code=st.sampled_from(CODES),
    modifier=st.sampled_from(["", ":not"]),
)
def test_a_token_finds_its_system_and_code(
    people: Scene, system: str | None, code: str, modifier: str
) -> None:
    value = escaped(code) if system is None else f"{escaped(system)}|{escaped(code)}"
    if not value or value == "|":
        return

    def hit(resource: Json) -> bool:
        return any(
            (system is None or i.get("system", "") == system)
            and (not code or i.get("value") == code)
            for i in resource.get("identifier", ())
        )

    found = people.find(f"Patient?identifier{modifier}={quote(value)}")
    assert found == people.expect(lambda r: hit(r) != bool(modifier))


@EACH
@given(codes=st.lists(st.sampled_from(CODES[:-2]), min_size=2, max_size=4))
def test_a_comma_means_or(people: Scene, codes: list[str]) -> None:
    value = ",".join(map(escaped, codes))
    found = people.find(f"Patient?identifier={quote(value)}")
    assert found == people.expect(
        lambda r: any(i.get("value") in codes for i in r.get("identifier", ()))
    )


def _span(text: str) -> tuple[datetime, datetime]:
    """An independent reading of a date."""
    if "T" in text:
        whole = text.replace("Z", "+00:00")
        at = datetime.fromisoformat(whole)
        colons = whole[11:].split("+")[0].split("-")[0].count(":")
        width = (
            timedelta(minutes=1)
            if colons == 1
            else timedelta(milliseconds=1)
            if "." in text
            else timedelta(seconds=1)
        )
        return at, at + width
    parts = [int(p) for p in text.split("-")]
    low = datetime(*[*parts, 1, 1][:3], tzinfo=UTC)  # type: ignore[misc,arg-type]
    if len(parts) == 1:
        return low, low.replace(year=low.year + 1)
    if len(parts) == 2:
        return low, (low + timedelta(days=32)).replace(day=1)
    return low, low + timedelta(days=1)


LONG_AGO, FAR_OFF = datetime(1, 1, 2, tzinfo=UTC), datetime(9998, 1, 1, tzinfo=UTC)


def _spans(resource: Json, by_day: bool) -> list[tuple[datetime, datetime]]:
    if "effectiveDateTime" in resource:
        low, high = _span(resource["effectiveDateTime"])
        found = [(low, high)]
        if by_day and "T" in resource["effectiveDateTime"]:
            shift = low.utcoffset() or timedelta(0)
            found.append((low + shift, high + shift))
        return found
    if "effectivePeriod" in resource:
        period = resource["effectivePeriod"]
        low = _span(period["start"])[0] if "start" in period else LONG_AGO
        return [(low, _span(period["end"])[1] if "end" in period else FAR_OFF)]
    return []


def _holds(prefix: str, low: datetime, high: datetime, span: tuple[datetime, datetime]) -> bool:
    """R4 search, 3.1.1.4.7."""
    match prefix:
        case "" | "eq":
            return span[0] <= low and high <= span[1]
        case "gt":
            return high > span[1]
        case "lt":
            return low < span[0]
        case "ge":
            return high > span[1] or (span[0] <= low and high <= span[1])
        case "le":
            return low < span[0] or (span[0] <= low and high <= span[1])
        case "sa":
            return low >= span[1]
        case _:  # eb
            return high <= span[0]


@EACH
@given(prefix=st.sampled_from(PREFIXES), asked=st.sampled_from(ASKED))
def test_a_date_with_a_prefix_finds_what_the_standard_says(
    events: Scene, prefix: str, asked: str
) -> None:
    found = events.find(f"Observation?date={prefix}{quote(asked)}")

    def hit(resource: Json) -> bool:
        spans = _spans(resource, by_day="T" not in asked)
        if prefix == "ne":
            return bool(spans) and not any(_holds("eq", *s, _span(asked)) for s in spans)
        return any(_holds(prefix, *s, _span(asked)) for s in spans)

    exact = events.expect(hit)
    if prefix in (
        "ge",
        "le",
    ):  # overlap with the boundary may count (the standard says "or equal" of ranges)
        assert exact <= found
    else:
        assert found == exact


@pytest.mark.parametrize("day", ["2020-03-01", "2020-02-29"])
def test_half_past_midnight_elsewhere_is_found_on_both_days(events: Scene, day: str) -> None:
    assert f"d{DATES.index('2020-03-01T00:30:00+01:00')}" in events.find(f"Observation?date={day}")


def test_missing_and_not_missing_share_everything(events: Scene) -> None:
    assert events.find("Observation?date:missing=true") == {"none"}
    assert events.find("Observation?date:missing=false") == events.expect(
        lambda r: r["id"] != "none"
    )
