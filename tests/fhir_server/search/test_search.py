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

from ..clinic import BASE, HOUSE, Clinic, Json, observation, open_clinic, patient

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


def about(id_: str, reference: str, **members: object) -> Json:
    return {**observation(id_, "x"), "subject": {"reference": reference, **members}}


REFERENCES = [
    "Patient/a",
    f"{BASE}/Patient/a",
    "Patient/a/_history/2",
    f"{BASE}/Patient/a/_history/1",
]


@pytest.mark.parametrize("stored", REFERENCES)
@pytest.mark.parametrize(
    "query",
    [
        "subject=Patient/a",
        "subject=a",
        f"subject={BASE}/Patient/a",
        "subject:Patient=a",
        "patient=a",
        "patient=Patient/a",
    ],
)
async def test_a_reference_is_found_however_it_is_written(
    clinic: Clinic, stored: str, query: str
) -> None:
    await clinic.put(about("o", stored))
    await clinic.put(observation("other", "ab"))
    await clinic.put(about("foreign", "http://elsewhere/fhir/Patient/a"))
    assert "Observation/o" in (await clinic.get(HOUSE, f"Observation?{query}")).references
    found = (await clinic.get(HOUSE, f"Observation?{query}")).references
    assert "Observation/other" not in found
    if query != "subject=a" and query != "subject:Patient=a" and query != "patient=a":
        assert "Observation/foreign" not in found


async def test_a_reference_by_identifier_and_by_another_type(clinic: Clinic) -> None:
    identifier = {"system": "urn:x", "value": "7"}
    await clinic.put(about("o", "Patient/a", identifier=identifier))
    await clinic.put(about("g", "Group/a"))
    for query, expected in (
        ("subject:identifier=urn:x|7", ["Observation/o"]),
        ("subject:identifier=urn:x|8", []),
        ("subject:Group=a", ["Observation/g"]),
        ("subject=a", ["Observation/o", "Observation/g"]),
        ("patient=a", ["Observation/o"]),
        ("subject:missing=true", []),
    ):
        assert (await clinic.get(HOUSE, f"Observation?{query}")).references == expected, query


async def test_id_and_last_updated_narrow(clinic: Clinic) -> None:
    for name in ("a", "b", "c"):
        await clinic.put(patient(name))
        clinic.now += timedelta(days=1)
    for query, expected in (
        ("_id=a", ["a"]), ("_id=a,c,zz", ["a", "c"]), ("_id=a&_id=b", []), ("_id=zz", []), ("_id:not=a", ["b", "c"]),
        ("_lastUpdated=2026-05-05", ["b"]), ("_lastUpdated=ge2026-05-05", ["b", "c"]), ("_lastUpdated=lt2026-05-05", ["a"]),
        ("_lastUpdated=2026-05", ["a", "b", "c"]), ("_lastUpdated=2026-05-04,2026-05-06", ["a", "c"]),
        ("_lastUpdated=gt2026-05-04&_lastUpdated=lt2026-05-06", ["b"]), ("_lastUpdated=ne2026-05-05", ["a", "c"]),
        ("_lastUpdated=eb2026-05-05", ["a"]), ("_lastUpdated=sa2026-05-05", ["c"]),
    ):  # fmt: skip
        assert [
            r["id"] for r in (await clinic.get(HOUSE, f"Patient?{query}")).resources
        ] == expected, query


async def test_what_changes_is_found_by_what_it_says_now(clinic: Clinic) -> None:
    await clinic.put(patient("p", name=[{"family": "Alt"}], birthDate="1970-01-01"))
    await clinic.put(patient("p", name=[{"family": "Neu"}], birthDate="1980-01-01"))
    for query, count in (
        ("name=alt", 0),
        ("name=neu", 1),
        ("birthdate=1970", 0),
        ("birthdate=1980", 1),
    ):
        assert (await clinic.get(HOUSE, f"Patient?{query}")).json["total"] == count
    await clinic.ask(HOUSE, "DELETE", "Patient/p")
    assert (await clinic.get(HOUSE, "Patient?name=neu")).json["total"] == 0
    await clinic.put(patient("p", name=[{"family": "Wieder"}]))
    assert (await clinic.get(HOUSE, "Patient?name=wieder")).json["total"] == 1


async def test_a_period_to_the_end_of_the_calendar_is_stored_and_found(clinic: Clinic) -> None:
    period = {"start": "2020-01-01", "end": "9999-12-31"}
    await clinic.put(observation("o", "a", effectivePeriod=period))
    assert (await clinic.get(HOUSE, "Observation?date=ge2030")).json["total"] == 1
    assert (await clinic.get(HOUSE, "Observation?date=lt2020")).json["total"] == 0


@pytest.mark.parametrize(
    "query",
    [
        "date=x", "date=2020-13", "date=2020-02-30", "date=gt", "date=xx2020", "date:exact=2020", "date:missing=maybe",
        "code:exact=x", "subject:Nonsense=x", "subject:not=x", "_count=-1", "_count=x", "_count=1.5", "_total=yes",
        "_sort=zz",
        "_id:exact=1", "_lastUpdated=yesterday", "_cursor=zz", "_security=x,y&_security:nope=1", "date=2020,x",
    ],
)  # fmt: skip
async def test_a_search_that_cannot_be_understood_is_400_with_the_parameter(
    clinic: Clinic, query: str
) -> None:
    answer = await clinic.get(HOUSE, f"Observation?{query}")
    assert answer.status == 400
    assert answer.json["issue"][0]["severity"] == "error"


@pytest.mark.parametrize(
    "name",
    [
        "nope",
        "value-quantity",
        "_has:Patient:x:y",
        "_filter",
        "subject.name",
        "combo-code-value-quantity",
    ],
)
async def test_an_unknown_parameter_is_named_and_left_out_or_refused_if_strict(
    clinic: Clinic, name: str
) -> None:
    await clinic.put(observation("o", "a"))
    answer = await clinic.get(HOUSE, f"Observation?code=8867-4&{name}=1")
    assert answer.references == ["Observation/o"]
    [outcome] = [e["resource"] for e in answer.json["entry"] if e["search"]["mode"] == "outcome"]
    assert name in outcome["issue"][0]["diagnostics"]
    assert name not in answer.json["link"][0]["url"]
    strict = await clinic.ask(
        HOUSE, "GET", f"Observation?{name}=1", headers={"prefer": "handling=strict"}
    )
    assert strict.status == 400
    assert name in strict.json["issue"][0]["diagnostics"]


async def test_count_zero_gives_the_total_and_no_entry(clinic: Clinic) -> None:
    await clinic.put(observation("o", "a"))
    answer = await clinic.get(HOUSE, "Observation?_count=0&_sort=date")
    assert answer.json["total"] == 1
    assert "entry" not in answer.json


async def test_thousands_of_alternatives_are_answered_or_refused_never_failed(
    clinic: Clinic,
) -> None:
    await clinic.put(observation("o", "a", effectiveDateTime="2020-01-01"))
    form = {"content-type": "application/x-www-form-urlencoded"}
    for name, values in (
        ("_id", [f"x{n}" for n in range(300_000)]),
        ("code", [f"x{n}" for n in range(300_000)]),
        ("date", [f"{1900 + n // 365}-01-{1 + n % 28:02}" for n in range(20_000)]),
    ):
        body = f"{name}={','.join(values)}".encode()
        answer = await clinic.ask(HOUSE, "POST", "Observation/_search", body, form)
        assert answer.status in (200, 400, 413), name


async def test_a_search_over_too_many_records_says_what_to_do(folder: Path) -> None:
    clinic = await open_clinic(folder, max_candidates=100)
    for number in range(260):
        await clinic.put(observation(f"o{number}", "a"))
    answer = await clinic.get(HOUSE, "Observation?status=final&_sort=date")
    assert answer.status == 503
    assert "add a patient" in answer.json["issue"][0]["diagnostics"]
    await clinic.close()


async def test_nobody_is_both_dead_and_alive(clinic: Clinic) -> None:
    await clinic.put(patient("dead", deceasedBoolean=True))
    await clinic.put(patient("dead-since", deceasedDateTime="2020-01-01"))
    await clinic.put(patient("alive", deceasedBoolean=False))
    await clinic.put(patient("unsaid"))
    for value, expected in (("true", ["dead", "dead-since"]), ("false", ["alive", "unsaid"])):
        found = (await clinic.get(HOUSE, f"Patient?deceased={value}")).resources
        assert [r["id"] for r in found] == expected
