"""Conditional create, read, update, patch and delete: each row of R4 http.html, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from email.utils import formatdate

import pytest

from ..clinic import HOUSE, Clinic, Json, patient

MRN = "identifier=urn:mrn|1"


def _known(id_: str | None = None, value: str = "1", **members: object) -> Json:
    made = patient(id_ or "x", identifier=[{"system": "urn:mrn", "value": value}], **members)
    if id_ is None:
        del made["id"]
    return made


async def _count(clinic: Clinic) -> int:
    return int((await clinic.get(HOUSE, "Patient?_count=0")).json["total"])


# --- create


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("Patient", {"if-none-exist": MRN}),
        ("Patient", {"if-none-exist": f"?{MRN}"}),
        (f"Patient?{MRN}", {}),
    ],
)
async def test_a_conditional_create_makes_one_finds_it_and_refuses_several(
    clinic: Clinic, url: str, headers: dict[str, str]
) -> None:
    """The condition in the url is how fhirpy sends it."""
    made = await clinic.ask(HOUSE, "POST", url, _known(), headers)
    found = await clinic.ask(HOUSE, "POST", url, _known(active=True), headers)
    assert (made.status, found.status) == (201, 200)
    assert found.id_ == made.id_
    assert "active" not in found.json
    assert found.headers["ETag"] == 'W/"1"'
    assert found.headers["Location"].endswith(f"/Patient/{made.id_}/_history/1")
    await clinic.put(_known("second"))
    assert (await clinic.ask(HOUSE, "POST", url, _known(), headers)).status == 412
    assert await _count(clinic) == 2


async def test_what_shapes_the_answer_is_no_condition(clinic: Clinic) -> None:
    for _ in range(2):
        assert (await clinic.ask(HOUSE, "POST", "Patient?_format=json", _known())).status == 201


# --- read


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("if-none-match", 'W/"2"', 304),
        ("if-none-match", '"2"', 304),
        ("if-none-match", "2", 304),
        ("if-none-match", "*", 304),
        ("if-none-match", 'W/"1", W/"2"', 304),
        ("if-none-match", "1,2", 304),
        ("if-none-match", 'W/"1"', 200),
        ("if-none-match", '"other-server"', 200),
        ("if-none-match", "nonsense", 200),
        ("if-none-match", '"', 400),
        ("if-none-match", "W/2", 400),
        ("if-none-match", "", 400),
        ("if-modified-since", "nonsense", 200),
        ("if-modified-since", "Mon, 01 Jan 2018 00:00:00 GMT", 200),
        ("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT", 304),
    ],
)
async def test_a_reader_who_has_the_version_is_told_so(
    clinic: Clinic, header: str, value: str, status: int
) -> None:
    await clinic.put(patient("p"))
    await clinic.put(patient("p", active=True))
    answer = await clinic.ask(HOUSE, "GET", "Patient/p", headers={header: value})
    assert answer.status == status
    if status == 304:
        assert answer.body == b""
        assert answer.headers["ETag"] == 'W/"2"'
        assert answer.headers["Last-Modified"].endswith("GMT")


async def test_last_modified_can_be_sent_back_and_if_none_match_wins_over_it(
    clinic: Clinic,
) -> None:
    told = (await clinic.put(patient("p"))).headers["Last-Modified"]
    headers = {"if-modified-since": told}
    assert (await clinic.ask(HOUSE, "GET", "Patient/p", headers=headers)).status == 304
    headers["if-none-match"] = 'W/"9"'
    assert (await clinic.ask(HOUSE, "GET", "Patient/p", headers=headers)).status == 200
    before = formatdate(clinic.now.timestamp() - 5, usegmt=True)
    answer = await clinic.ask(HOUSE, "GET", "Patient/p", headers={"if-modified-since": before})
    assert answer.status == 200


# --- update


async def test_a_conditional_update_without_match_and_id_creates(clinic: Clinic) -> None:
    answer = await clinic.ask(HOUSE, "PUT", f"Patient?{MRN}", _known())
    assert answer.status == 201
    assert answer.headers["Location"].endswith(f"/Patient/{answer.id_}/_history/1")


async def test_a_conditional_update_without_match_takes_the_id_that_is_sent(clinic: Clinic) -> None:
    answer = await clinic.ask(HOUSE, "PUT", f"Patient?{MRN}", _known("mine"))
    assert (answer.status, answer.id_) == (201, "mine")


async def test_a_conditional_update_without_match_does_not_overwrite_the_id_that_is_sent(
    clinic: Clinic,
) -> None:
    await clinic.put(patient("mine"))
    answer = await clinic.ask(HOUSE, "PUT", f"Patient?{MRN}", _known("mine"))
    assert answer.status == 409
    assert "identifier" not in (await clinic.get(HOUSE, "Patient/mine")).json


@pytest.mark.parametrize("id_", [None, "one"])
async def test_a_conditional_update_changes_the_one_match(clinic: Clinic, id_: str | None) -> None:
    await clinic.put(_known("one"))
    answer = await clinic.ask(HOUSE, "PUT", f"Patient?{MRN}", _known(id_, active=True))
    assert (answer.status, answer.id_) == (200, "one")
    assert answer.headers["ETag"] == 'W/"2"'
    assert await _count(clinic) == 1


async def test_a_conditional_update_refuses_another_id_and_several_matches(clinic: Clinic) -> None:
    await clinic.put(_known("one"))
    other = await clinic.ask(HOUSE, "PUT", f"Patient?{MRN}", _known("two"))
    assert other.status == 400
    assert other.json["issue"][0]["expression"] == ["Patient.id"]
    await clinic.put(_known("two"))
    assert (await clinic.ask(HOUSE, "PUT", f"Patient?{MRN}", _known())).status == 412


# --- patch and delete

ACTIVE = b'{"active":true}'
MERGE = {"content-type": "application/merge-patch+json"}


async def test_a_conditional_patch_changes_the_one_match(clinic: Clinic) -> None:
    missing = await clinic.ask(HOUSE, "PATCH", f"Patient?{MRN}", ACTIVE, MERGE)
    assert missing.status == 404
    await clinic.put(_known("one"))
    answer = await clinic.ask(HOUSE, "PATCH", f"Patient?{MRN}", ACTIVE, MERGE)
    assert (answer.status, answer.json["active"]) == (200, True)
    await clinic.put(_known("two"))
    assert (await clinic.ask(HOUSE, "PATCH", f"Patient?{MRN}", ACTIVE, MERGE)).status == 412


async def test_a_conditional_delete_deletes_one_or_none_and_refuses_several(clinic: Clinic) -> None:
    assert (await clinic.ask(HOUSE, "DELETE", f"Patient?{MRN}")).status == 204
    await clinic.put(_known("one"))
    assert (await clinic.ask(HOUSE, "DELETE", f"Patient?{MRN}")).status == 204
    assert (await clinic.get(HOUSE, "Patient/one")).status == 410
    for id_ in ("two", "three"):
        await clinic.put(_known(id_))
    assert (await clinic.ask(HOUSE, "DELETE", f"Patient?{MRN}")).status == 412
    assert await _count(clinic) == 2


async def test_where_the_setting_allows_it_all_matches_go_or_none(clinic: Clinic) -> None:
    clinic.pipeline = replace(clinic.pipeline, tools=replace(clinic.pipeline.tools, most_deleted=3))
    for number in range(4):
        await clinic.put(_known(f"p{number}"))
    assert (await clinic.ask(HOUSE, "DELETE", f"Patient?{MRN}")).status == 412
    assert await _count(clinic) == 4
    await clinic.ask(HOUSE, "DELETE", "Patient/p0")
    start = clinic.log_size()
    asked = {"prefer": "return=OperationOutcome"}
    answer = await clinic.ask(HOUSE, "DELETE", f"Patient?{MRN}", headers=asked)
    assert (answer.status, answer.json["issue"][0]["diagnostics"]) == (200, "3 deleted")
    assert await _count(clinic) == 0
    told = str(await clinic.audits(start))
    assert all(f"Patient/p{number}" in told for number in (1, 2, 3))


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("query", ["nope=1", "_sort=_id", "_count=5", "identifier=", "birthdate=x"])
async def test_a_condition_that_says_nothing_changes_nothing(
    clinic: Clinic, method: str, query: str
) -> None:
    await clinic.put(_known("one"))
    body = None if method == "DELETE" else {"resourceType": "Patient"}
    answer = await clinic.ask(
        HOUSE, method, f"Patient?{query}", body, MERGE if method == "PATCH" else {}
    )
    assert answer.status == 400
    assert (await clinic.get(HOUSE, "Patient/one")).headers["ETag"] == 'W/"1"'


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("query", ["", "?_format=json", "?_pretty=true"])
async def test_a_whole_type_is_never_changed_without_a_condition(
    clinic: Clinic, method: str, query: str
) -> None:
    answer = await clinic.ask(HOUSE, method, f"Patient{query}", {"resourceType": "Patient"})
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD, POST"


# --- preconditions of writes


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("if-match", 'W/"2"', 200),
        ("if-match", '"2"', 200),
        ("if-match", "*", 200),
        ("if-match", 'W/"1", W/"2"', 200),
        ("if-match", 'W/"1"', 412),
        ("if-match", 'W/"3"', 412),
        ("if-match", '"x"', 412),
        ("if-match", "2", 400),
        ("if-none-match", "*", 412),
        ("if-none-match", 'W/"2"', 412),
        ("if-none-match", 'W/"1"', 200),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_precondition_holds_for_every_write(
    clinic: Clinic, method: str, header: str, value: str, status: int
) -> None:
    await clinic.put(patient("p"))
    await clinic.put(patient("p", active=False))
    headers = {**(MERGE if method == "PATCH" else {}), header: value}
    body = {"PUT": patient("p", active=True), "PATCH": ACTIVE, "DELETE": None}[method]
    answer = await clinic.ask(HOUSE, method, "Patient/p", body, headers)
    assert answer.status == (204 if (method, status) == ("DELETE", 200) else status)
    if status != 200:
        assert (await clinic.get(HOUSE, "Patient/p")).headers["ETag"] == 'W/"2"'


async def test_if_none_match_makes_a_put_that_only_creates(clinic: Clinic) -> None:
    only = {"if-none-match": "*"}
    assert (await clinic.ask(HOUSE, "PUT", "Patient/p", patient("p"), only)).status == 201
    assert (await clinic.ask(HOUSE, "PUT", "Patient/p", patient("p"), only)).status == 412
    await clinic.ask(HOUSE, "DELETE", "Patient/p")
    assert (await clinic.ask(HOUSE, "PUT", "Patient/p", patient("p"), only)).status == 201


async def test_if_match_on_what_is_not_there_creates_nothing(clinic: Clinic) -> None:
    for value in ("*", 'W/"1"'):
        answer = await clinic.ask(HOUSE, "PUT", "Patient/p", patient("p"), {"if-match": value})
        assert answer.status == 412
    assert (await clinic.get(HOUSE, "Patient/p")).status == 404


# --- identical updates, ids, Prefer


async def test_an_update_that_changes_nothing_makes_no_version_but_a_record(clinic: Clinic) -> None:
    one = '{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.0}}'
    assert (await clinic.ask(HOUSE, "PUT", "Observation/o", one)).status == 201
    start = clinic.log_size()
    read = (await clinic.get(HOUSE, "Observation/o")).body
    for same in (
        one,
        one.replace(
            '{"resourceType":"Observation","id":"o",', '{ "id":"o", "resourceType":"Observation",'
        ),
        read,
    ):
        answer = await clinic.ask(HOUSE, "PUT", "Observation/o", same)
        assert (answer.status, answer.headers["ETag"]) == (200, 'W/"1"')
        assert answer.body == read
    assert clinic.log_size() == start + 4
    for version, other in enumerate((one.replace("1.0", "1.00"), one.replace("1.0", "1"), one), 2):
        answer = await clinic.ask(HOUSE, "PUT", "Observation/o", other)
        assert answer.headers["ETag"] == f'W/"{version}"'


@pytest.mark.parametrize("body", [{"resourceType": "Patient"}, patient("q")])
async def test_an_update_needs_the_id_of_the_url(clinic: Clinic, body: Json) -> None:
    answer = await clinic.ask(HOUSE, "PUT", "Patient/p", body)
    assert answer.status == 400
    assert answer.json["issue"][0]["expression"] == ["Patient.id"]


@pytest.mark.parametrize("wanted", ["minimal", "representation", "OperationOutcome"])
async def test_prefer_says_what_comes_back_and_the_headers_are_always_there(
    clinic: Clinic, wanted: str
) -> None:
    prefer = {"prefer": f"return={wanted}"}
    made = await clinic.ask(HOUSE, "POST", "Patient", _known(), prefer)
    target = made.headers["Location"].partition("/fhir/")[2].partition("/_history")[0]
    body = {**_known(target.partition("/")[2]), "active": False}
    written = [
        made,
        await clinic.ask(HOUSE, "PUT", target, body, prefer),
        await clinic.ask(HOUSE, "PATCH", target, ACTIVE, {**MERGE, **prefer}),
    ]
    for version, answer in enumerate(written, 1):
        assert answer.headers["ETag"] == f'W/"{version}"'
        assert answer.headers["Location"].endswith(f"{target}/_history/{version}")
        assert answer.headers["Last-Modified"].endswith("GMT")
        types = {"minimal": "", "representation": "Patient"}
        told = answer.json["resourceType"] if answer.body else ""
        assert told == types.get(wanted, wanted)
    gone = await clinic.ask(HOUSE, "DELETE", target, headers=prefer)
    assert gone.status == (200 if wanted == "OperationOutcome" else 204)
