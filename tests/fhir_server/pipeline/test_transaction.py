"""Transactions: conditions, patches, links and reads among the entries of one Bundle."""

from __future__ import annotations

import base64
import json

import pytest

from fhir_server.interactions.links import identities, rewrite_links, root_of
from fhir_server.resource_text import ResourceText, read_resource, references
from profiles.definitions import r4

from ..clinic import HOUSE, Answer, Clinic, Json, entry, observation, patient, transaction

ONE = "urn:uuid:11111111-1111-1111-1111-111111111111"
TWO = "urn:oid:1.2.3.4"
MRN = "identifier=urn:mrn|1"


def _known(**members: object) -> Json:
    made = patient("x", identifier=[{"system": "urn:mrn", "value": "1"}], **members)
    del made["id"]
    return made


def _new(subject: str, **members: object) -> Json:
    return {**observation("x", "x"), "subject": {"reference": subject}, **members}


def _binary(content_type: str, patch: object) -> Json:
    data = base64.b64encode(json.dumps(patch).encode()).decode()
    return {"resourceType": "Binary", "contentType": content_type, "data": data}


async def _post(clinic: Clinic, *entries: Json, type_: str = "transaction") -> Answer:
    return await clinic.ask(HOUSE, "POST", "", transaction(*entries, type_=type_))


def _statuses(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [e["response"]["status"][:3] for e in answer.json["entry"]]


def _written(answer: Answer, number: int) -> str:
    location = str(answer.json["entry"][number]["response"]["location"])
    return location.partition("/fhir/")[2].partition("/_history")[0]


# --- conditions


async def test_conditional_entries_create_change_and_delete(clinic: Clinic) -> None:
    answer = await _post(
        clinic,
        entry("PUT", f"Patient?{MRN}", _known(), full_url=ONE),
        entry("POST", "Observation", _new(ONE)),
        entry("DELETE", "Patient?identifier=urn:mrn|nobody"),
    )
    assert _statuses(answer) == ["201", "201", "204"]
    id_ = _written(answer, 0)
    found = await clinic.get(HOUSE, f"Observation?subject={id_}")
    assert len(found.resources) == 1
    merge = _binary("application/merge-patch+json", {"active": True})
    answer = await _post(clinic, entry("PATCH", f"Patient?{MRN}", merge))
    assert _statuses(answer) == ["200"]
    assert (await clinic.get(HOUSE, id_)).json["active"] is True
    assert _statuses(await _post(clinic, entry("DELETE", f"Patient?{MRN}"))) == ["204"]
    assert (await clinic.get(HOUSE, id_)).status == 410


@pytest.mark.parametrize("other", ["PUT", "PATCH", "DELETE"])
async def test_a_condition_that_finds_what_another_entry_writes_is_refused(
    clinic: Clinic, other: str
) -> None:
    await clinic.put({**_known(), "id": "p"})
    bodies = {"PUT": _known(), "PATCH": _binary("application/merge-patch+json", {}), "DELETE": None}
    plain = entry("PUT", "Patient/p", {**_known(), "id": "p"})
    answer = await _post(clinic, plain, entry(other, f"Patient?{MRN}", bodies[other]))
    assert answer.status == 400
    assert "Bundle.entry[1]" in answer.json["issue"][0]["diagnostics"]


async def test_a_fhirpy_like_conditional_create_in_an_entry_is_one(clinic: Clinic) -> None:
    for status in ("201", "200"):
        assert _statuses(await _post(clinic, entry("POST", f"Patient?{MRN}", _known()))) == [status]


async def test_a_condition_with_several_matches_takes_everything_back(clinic: Clinic) -> None:
    for id_ in ("p", "q"):
        await clinic.put({**_known(), "id": id_})
    for made in (entry("PUT", f"Patient?{MRN}", _known()), entry("DELETE", f"Patient?{MRN}")):
        answer = await _post(clinic, entry("POST", "Patient", patient("x")), made)
        assert answer.status == 412
        assert "Bundle.entry[1]" in answer.json["issue"][0]["diagnostics"]
    assert (await clinic.get(HOUSE, "Patient?_count=0")).json["total"] == 2


# --- conditional references


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("first", [True, False])
async def test_a_conditional_reference_finds_what_the_same_bundle_creates(
    clinic: Clinic, method: str, first: bool
) -> None:
    made = entry(method, "Patient" if method == "POST" else f"Patient?{MRN}", _known())
    entries = [made, entry("POST", "Observation", _new(f"Patient?{MRN}"))]
    answer = await _post(clinic, *(entries if first else entries[::-1]))
    assert _statuses(answer) == ["201", "201"]
    id_ = _written(answer, 0 if first else 1)
    assert len((await clinic.get(HOUSE, f"Observation?subject={id_}")).resources) == 1


async def test_a_conditional_reference_counts_stored_and_new_together(clinic: Clinic) -> None:
    await clinic.put({**_known(), "id": "p"})
    refers = entry("POST", "Observation", _new(f"Patient?{MRN}"))
    assert (await _post(clinic, entry("POST", "Patient", _known()), refers)).status == 412
    # what the Bundle takes the identifier from no longer matches, what it deletes neither
    assert (await _post(clinic, entry("PUT", "Patient/p", patient("p")), refers)).status in (
        200,
        412,
    )
    assert (await _post(clinic, entry("DELETE", "Patient/p"), refers)).status == 412
    replaced = entry("PUT", "Patient/p", {**_known(), "id": "p", "active": True})
    assert _statuses(await _post(clinic, replaced, refers)) == ["200", "201"]


# --- patches


async def test_entries_patch_in_each_way(clinic: Clinic) -> None:
    for id_ in ("a", "b", "c"):
        await clinic.put(patient(id_))
    path = [
        {"name": "type", "valueCode": "add"},
        {"name": "path", "valueString": "Patient"},
        {"name": "name", "valueString": "active"},
        {"name": "value", "valueBoolean": True},
    ]
    parameters = {
        "resourceType": "Parameters",
        "parameter": [{"name": "operation", "part": path}],
    }
    operations = [{"op": "add", "path": "/active", "value": True}]
    answer = await _post(
        clinic,
        entry("PATCH", "Patient/a", _binary("application/json-patch+json", operations)),
        entry("PATCH", "Patient/b", parameters),
        entry("PATCH", "Patient/c", _binary("application/merge-patch+json", {"active": True})),
        entry("GET", "Patient?active=true&_total=accurate"),
    )
    assert _statuses(answer) == ["200"] * 4
    assert answer.json["entry"][3]["resource"]["total"] == 3


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (patient("a"), 400),
        ({"resourceType": "Binary", "contentType": "application/json-patch+json"}, 400),
        (_binary("text/plain", []), 415),
        (_binary("application/json-patch+json", {}), 400),
        (
            {
                "resourceType": "Binary",
                "contentType": "application/json-patch+json",
                "data": "/w==",
            },
            400,
        ),
        (None, 400),
    ],
)
async def test_an_entry_that_is_no_patch_is_refused(
    clinic: Clinic, body: Json | None, status: int
) -> None:
    await clinic.put(patient("a"))
    answer = await _post(clinic, entry("PATCH", "Patient/a", body))
    assert answer.status == status
    assert "Bundle.entry[0]" in answer.json["issue"][0]["diagnostics"]


# --- links


def _rewritten(resource: ResourceText, known: dict[str, str]) -> ResourceText:
    own = references(resource.value)
    return rewrite_links(resource, own, known.get, identities(known), r4())


def _linked(resource: Json, **identities: str) -> Json:
    known = {ONE: "Patient/1", TWO: "Patient/2", **identities}
    made = _rewritten(read_resource(json.dumps(resource).encode()), known)
    assert made.value == read_resource(made.text.encode()).value
    return json.loads(made.text)  # type: ignore[no-any-return]


def test_links_are_replaced_where_the_standard_names_them_and_nowhere_else() -> None:
    div = f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{ONE}">{ONE}</a><img src=\'{TWO}\'/></div>'
    made = _linked(
        {
            "resourceType": "Observation",
            "text": {"status": "generated", "div": div},
            "subject": {"reference": ONE, "display": ONE},
            "identifier": [{"system": ONE, "value": ONE}],
            "extension": [{"url": "urn:x", "valueUri": TWO}, {"url": "urn:x", "valueString": TWO}],
            "contained": [
                {"resourceType": "Library", "relatedArtifact": [{"url": TWO, "label": TWO}]}
            ],
            "note": [{"text": TWO}],
        }
    )
    assert made["subject"] == {"reference": "Patient/1", "display": ONE}
    assert made["identifier"] == [{"system": "Patient/1", "value": ONE}]
    assert made["extension"][0]["valueUri"] == "Patient/2"
    assert made["extension"][1]["valueString"] == TWO
    assert made["contained"][0]["relatedArtifact"] == [{"url": "Patient/2", "label": TWO}]
    assert made["note"] == [{"text": TWO}]
    assert made["text"]["div"] == div.replace(f'"{ONE}"', '"Patient/1"').replace(
        f"'{TWO}'", '"Patient/2"'
    )


def test_a_resource_without_links_keeps_its_bytes() -> None:
    text = '{"resourceType" : "Observation", "valueQuantity":{"value":1.00}, "note":[{"text":"urn:uuid:x"}]}'
    resource = read_resource(text.encode())
    assert _rewritten(resource, {ONE: "Patient/1"}).text == text


async def test_a_relative_reference_is_read_with_the_base_of_its_own_full_url(
    clinic: Clinic,
) -> None:
    base = "http://other.example.org/fhir"
    answer = await _post(
        clinic,
        entry("POST", "Patient", patient("7"), full_url=f"{base}/Patient/7"),
        entry("POST", "Observation", _new("Patient/7"), full_url=f"{base}/Observation/8"),
        entry("POST", "Observation", _new(f"{base}/Patient/7"), full_url=ONE),
    )
    assert _statuses(answer) == ["201"] * 3
    found = await clinic.get(HOUSE, f"Observation?subject={_written(answer, 0)}")
    assert len(found.resources) == 2


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("http://a/fhir/Patient/1", "http://a/fhir/"),
        (ONE, ""),
        ("http://a", ""),
        ("", ""),
        ("Patient/1", ""),
    ],
)
def test_only_a_restful_url_has_a_root(url: str, root: str) -> None:
    assert root_of(url) == root


async def test_two_resources_with_one_full_url_are_refused(clinic: Clinic) -> None:
    made = entry("POST", "Patient", patient("x"), full_url=ONE)
    answer = await _post(clinic, made, made)
    assert answer.status == 400
    assert "Bundle.entry[1]" in answer.json["issue"][0]["diagnostics"]


# --- answers


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_prefer_of_the_bundle_holds_for_its_entries(clinic: Clinic, kind: str) -> None:
    bundle = transaction(entry("POST", "Patient", patient("x")), type_=kind)
    for wanted, told in (("representation", "resource"), ("OperationOutcome", "outcome")):
        answer = await clinic.ask(HOUSE, "POST", "", bundle, {"prefer": f"return={wanted}"})
        [made] = answer.json["entry"]
        found = made["response"] if told == "outcome" else made
        assert found[told]["resourceType"] == (
            "Patient" if told == "resource" else "OperationOutcome"
        )
        assert made["response"]["etag"] == 'W/"1"'
        assert "/Patient/" in made["response"]["location"]
        assert made["response"]["lastModified"].endswith("Z")


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_head_and_conditional_reads_are_answered_inside(clinic: Clinic, kind: str) -> None:
    await clinic.put(patient("p"))
    answer = await _post(
        clinic,
        entry("HEAD", "Patient/p"),
        entry("GET", "Patient/p", ifNoneMatch='W/"1"'),
        entry("GET", "Patient/p", ifModifiedSince="2100-01-01T00:00:00Z"),
        type_=kind,
    )
    assert _statuses(answer) == ["200", "304", "304"]
    assert all("resource" not in e for e in answer.json["entry"])


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_a_bundle_in_a_bundle_is_refused(clinic: Clinic, kind: str) -> None:
    inner = transaction(entry("POST", "Patient", patient("x")), type_=kind)
    for url in ("", "/", "?x=1"):
        answer = await _post(clinic, entry("POST", url, inner), type_=kind)
        assert answer.status in (400, 422)
    assert (await clinic.get(HOUSE, "Patient?_count=0")).json["total"] == 0


# --- audit


@pytest.mark.parametrize("count", [1, 29, 64, 65, 150])
async def test_each_entry_has_its_own_audit_event_in_the_order_of_writing(
    clinic: Clinic, count: int
) -> None:
    before = clinic.log_size()
    entries = [
        entry("PUT", f"Observation/{n}", {**observation(str(n), f"p{n % 3}")}) for n in range(count)
    ]
    answer = await _post(clinic, *entries)
    assert _statuses(answer) == ["201"] * count
    events = await clinic.audits(before)
    written = [f"Observation/{n}/_history/1" for n in range(count)]
    assert [_named(event) for event in events] == [
        *([f"Patient/p{n % 3}", name] for n, name in enumerate(written)),
        [],  # of the transaction
    ]
    assert len({event["id"] for event in events}) == count + 1


async def test_a_read_inside_finds_the_audit_events_of_the_entries_before_it(
    clinic: Clinic,
) -> None:
    writes = [entry("PUT", f"Observation/{n}", observation(str(n), "p")) for n in range(5)]
    searches = [entry("GET", f"AuditEvent?entity=Observation/{n}") for n in (4, 4)]
    clinic.caller("officer", "system/*.cruds", purposes=("HOPERAT",))
    answer = await clinic.ask("officer", "POST", "", transaction(*writes, *searches))
    assert _statuses(answer) == ["201"] * 5 + ["200"] * 2
    found = [[_named(e["resource"]) for e in _matches(answer, at)] for at in (5, 6)]
    assert found == [[["Patient/p", "Observation/4/_history/1"]]] * 2


async def test_an_entry_that_fails_after_others_leaves_its_refusal_only(clinic: Clinic) -> None:
    before = clinic.log_size()
    writes = [entry("PUT", f"Observation/{n}", observation(str(n), "p")) for n in range(70)]
    answer = await _post(clinic, *writes, entry("PUT", "Patient/p", patient("other")))
    assert answer.status == 400
    assert "Bundle.entry[70]" in answer.body.decode()
    (event,) = await clinic.audits(before)
    assert (event["outcome"], _named(event)) == ("4", [])


def _named(event: Json) -> list[str]:
    whats = [e["what"] for e in event["entity"] if "what" in e]
    return [what["reference"] for what in whats if "reference" in what]


def _matches(answer: Answer, number: int) -> list[Json]:
    bundle = answer.json["entry"][number]["resource"]
    return [e for e in bundle["entry"] if e["search"]["mode"] == "match"]
