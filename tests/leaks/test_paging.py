"""A page link is good for the caller who got it, for its search, for a while, and gives no permission."""

from datetime import timedelta

import pytest

from ..fhir_server.clinic import HOUSE, OTHER, Clinic, observation, patient, sharing

SEARCH = "Observation?code=8867-4&_count=2"
SORTS = ["", "&_sort=_lastUpdated", "&_sort=-_lastUpdated", "&_sort=status", "&_sort=-status,_id"]


@pytest.fixture
async def five(clinic: Clinic) -> Clinic:
    await clinic.put(patient("a"))
    await clinic.put(sharing("a"))
    for number in range(5):
        await clinic.put(observation(f"o{number}", "a"))
    return clinic


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("total", ["", "&_total=accurate"])
async def test_the_pages_together_hold_each_record_once(
    five: Clinic, sort: str, total: str
) -> None:
    found = await five.all_pages(HOUSE, SEARCH + sort + total)
    assert sorted(r["id"] for r in found) == [f"o{n}" for n in range(5)]


@pytest.mark.parametrize("sort", SORTS)
async def test_another_callers_page_link_is_refused_in_the_words_of_an_expired_one(
    five: Clinic, sort: str
) -> None:
    link = (await five.get(HOUSE, SEARCH + sort)).next
    stolen = await five.get(OTHER, link)
    assert stolen.status == 400
    assert "resource" not in stolen.json
    five.now += timedelta(hours=2)
    expired = await five.get(HOUSE, link)
    assert expired.status == 400
    assert expired.json == stolen.json


async def test_a_page_link_of_the_same_client_for_another_patient_is_refused(five: Clinic) -> None:
    five.caller("app", "patient/*.rs", user="Practitioner/1", patient="Patient/a")
    link = (await five.get("app", SEARCH)).next
    five.caller("app", "patient/*.rs", user="Practitioner/1", patient="Patient/b")
    assert (await five.get("app", link)).status == 400


@pytest.mark.parametrize("at", [0, 20, -1])
async def test_an_altered_page_link_is_refused(five: Clinic, at: int) -> None:
    link = (await five.get(HOUSE, SEARCH)).next
    head, _, cursor = link.partition("_cursor=")
    turned = list(cursor)
    turned[at] = "A" if turned[at] != "A" else "Q"
    answer = await five.get(HOUSE, f"{head}_cursor={''.join(turned)}")
    assert answer.status == 400
    for junk in ("", "x", "%00", "=", "é", "A" * 5000):
        assert (await five.get(HOUSE, f"{head}_cursor={junk}")).status in (200, 400)


async def test_a_page_link_holds_for_its_own_search_only(five: Clinic) -> None:
    link = (await five.get(HOUSE, SEARCH)).next
    assert (await five.get(HOUSE, link.replace("code=8867-4", "code=1234-5"))).status == 400
    assert (await five.get(HOUSE, link.replace("Observation?", "Condition?"))).status == 400


async def test_after_a_revocation_the_open_page_link_gives_nothing(five: Clinic) -> None:
    link = (await five.get(OTHER, SEARCH)).next
    assert link
    await five.put({**sharing("a"), "status": "inactive"})
    answer = await five.get(OTHER, link)
    assert answer.status == 200
    assert answer.references == []
    assert answer.next == ""


async def test_a_page_link_of_a_revoked_token_is_refused(five: Clinic) -> None:
    link = (await five.get(OTHER, SEARCH)).next
    five.revoked.add(OTHER)
    assert (await five.get(OTHER, link)).status == 401


@pytest.mark.parametrize("sort", ["", "&_sort=_lastUpdated", "&_sort=_id"])
async def test_no_row_is_lost_or_repeated_while_others_write(five: Clinic, sort: str) -> None:
    first = await five.get(HOUSE, SEARCH + sort)
    await five.put(observation("o9", "a"))
    await five.ask(HOUSE, "DELETE", "Observation/o1")
    rest = await five.all_pages(HOUSE, first.next)
    seen = [r["id"] for r in [*first.resources, *rest]]
    assert len(seen) == len(set(seen))
    assert {"o0", "o2", "o3", "o4"} <= set(seen)


async def test_a_page_link_tells_nothing_in_clear(five: Clinic) -> None:
    links = {(await five.get(HOUSE, SEARCH)).next for _ in range(2)}
    assert len(links) == 2  # sealed anew each time
