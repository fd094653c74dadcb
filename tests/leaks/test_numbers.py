"""What the index keeps of numbers: keyed buckets, unrelated between parameters, types and tenants."""

from fhir_server.crypto.blind import BlindIndex
from fhir_server.search.tokens import Tokenizer
from fhir_server.search.values import Searchable
from profiles.definitions import r4

SEARCHABLE = Searchable(r4())


def tokens(type_: str, tenant: str = "a", key: bytes = bytes(32), **members: object) -> set[bytes]:
    tokenizer = Tokenizer(SEARCHABLE, BlindIndex(key, tenant))
    return set(tokenizer.tokens(type_, members, ()))


QUANTITY = {"value": 100, "unit": "mg"}


def test_equal_numbers_of_two_parameters_types_tenants_or_keys_have_nothing_in_common() -> None:
    one = tokens("Observation", valueQuantity=QUANTITY)
    assert one
    others = [
        tokens("ChargeItem", quantity=QUANTITY),
        tokens("Condition", onsetAge=QUANTITY),
        tokens("Condition", abatementAge=QUANTITY),
        tokens("Observation", tenant="b", valueQuantity=QUANTITY),
        tokens("Observation", key=b"k" * 32, valueQuantity=QUANTITY),
    ]
    for number, other in enumerate(others):
        assert other
        assert not one & other
        assert all(not other & more for more in others[number + 1 :])


def test_a_number_has_two_tokens_that_numbers_of_about_its_size_share() -> None:
    one = tokens("Observation", valueQuantity=QUANTITY)
    assert len(one) == 2
    assert one == tokens("Observation", valueQuantity={"value": 111, "unit": "kg"})
    assert len(one & tokens("Observation", valueQuantity={"value": 120})) == 1
    assert not one & tokens("Observation", valueQuantity={"value": 5000})
    assert not one & tokens("Observation", valueQuantity={"value": -100})
