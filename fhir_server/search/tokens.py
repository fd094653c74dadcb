"""The blind-index tokens of a resource: the only search terms that the database ever holds.

For each parameter: token values under ``system|code``, ``|code`` and ``system|``; references under ``Type/id`` and
``id``; uris whole; strings under each word and its prefixes of 1 to 6 letters; dates under their buckets (``dates.py``).
Each record also has a token for each patient it belongs to.  The vault pads the number to a multiple of 8.
The index gives a superset: what it finds is opened, if consent permits, and checked exactly.
"""

from collections.abc import Iterable, Iterator, Mapping

from fhir_server.crypto.blind import BlindIndex
from fhir_server.search.dates import DAY, Interval, buckets_of, days
from fhir_server.search.values import ReferenceValue, ResourceValues, TokenValue, Value, words

COMPARTMENT = "_patient"
_PREFIXES = 6


def tokens_of(
    type_: str,
    values: ResourceValues,
    resource: Mapping[str, object],
    patients: Iterable[str],
    blind: BlindIndex,
) -> set[bytes]:
    """The tokens of ``resource``, unpadded; equal input gives equal tokens, so that an update can take them back."""
    found = {blind.token(type_, COMPARTMENT, "patient", blind.patient(p).hex()) for p in patients}
    for parameter, value in values.all(resource):
        for kind, text in _terms(value, parameter.type):
            found.add(blind.token(type_, parameter.code, kind, text))
    return found


def _terms(value: Value, type_: str) -> Iterator[tuple[str, str]]:
    match value:
        case TokenValue(system, code):
            yield from token_terms(system, code)
        case ReferenceValue(reference, identifier):
            if reference:
                yield "reference", reference
                yield "reference", reference.rpartition("/")[2]
            if identifier is not None:
                yield "identifier", f"{identifier.system}|{identifier.code}"
        case Interval():
            yield from _date_terms(value)
        case _ if type_ == "uri":
            yield "uri", value
        case _:
            yield from string_terms(value)


def token_terms(system: str, code: str) -> Iterator[tuple[str, str]]:
    """The three ways in which a coded value can be asked for."""
    if code:
        yield "code", code
    if system:
        yield "system", system
        yield "both", f"{system}|{code}"
    elif code:
        yield "both", f"|{code}"


def string_terms(text: str) -> Iterator[tuple[str, str]]:
    """Each word by its prefixes of 1 to 6 letters, so that a search finds it by its beginning."""
    for word in words(text):
        for length in range(1, min(len(word), _PREFIXES) + 1):
            yield "prefix", word[:length]


def word_prefix(word: str) -> str:
    """The longest indexed prefix of a word that is searched for."""
    return word[:_PREFIXES]


def _date_terms(value: Interval) -> Iterator[tuple[str, str]]:
    first, last = days(value)
    if (
        value.high - value.low <= DAY and last - first <= 1
    ):  # a moment near midnight may lie on two days
        for day in {first, last}:
            yield from (("on", bucket) for bucket in buckets_of(day))
    else:
        yield from (("start", bucket) for bucket in buckets_of(first))
        yield from (("end", bucket) for bucket in buckets_of(last))
