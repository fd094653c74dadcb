"""Each wrong reading of consent.md, applied to the engine, changes a known answer.

The readings are those of other engines (consent.md, defects and section 1) and the ones that are next to ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any, cast

import pytest

from consent_engine import consent as consents
from consent_engine import (
    elements,
    evaluation,
    matching,
    periods,
    policy,
    provision,
    selectors,
    terms,
    verdict,
)
from consent_engine.consent import Status
from consent_engine.decision import Kind
from consent_engine.evaluation import Branch
from consent_engine.selectors import Labels, Reader

from .known_answers import known_answers

Patch = Callable[[pytest.MonkeyPatch], None]


def differing(world: Any) -> list[str]:
    """The known answers that the engine as it is now does not give."""
    found = []
    for known in known_answers(world):
        given = {"config": policy.Config(), **known.given}
        if world.answer(known.consents, known.record, **given) != known.expected:
            found.append(known.name)
    return found


def _put(owner: object, name: str, value: object) -> Patch:
    return lambda patch: patch.setattr(owner, name, value)


def _reading(element: str, read: Callable[..., Any]) -> Patch:
    """An engine that reads a selector otherwise."""
    return lambda patch: patch.setitem(cast("Any", selectors._READERS), element, read)


def _ignoring(element: str) -> Patch:
    """An engine that does not know a selector."""
    return _reading(element, lambda *_: None)


def _exact(system: str, code: str) -> frozenset[tuple[str, str]]:
    return frozenset({(system, code)})


def _exact_labels(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(terms, "labels_covered", _exact)
    patch.setattr(terms, "labels_touched", _exact)


def _permit_label(matches: Callable[[Labels, Any], bool]) -> Patch:
    made = lambda listed: lambda record: matches(listed, record.labels)  # noqa: E731
    return _put(matching, "_read_labels_permit", made)


def _deny_label(matches: Callable[[Labels, Any], bool]) -> Patch:
    made = lambda listed: lambda record: matches(listed, record.labels)  # noqa: E731
    return _put(matching, "_read_labels_deny", made)


def _unreadable_ignored(patch: pytest.MonkeyPatch) -> None:
    compile_ = policy.compile_consent

    def lenient(*given: Any, **more: Any) -> Any:
        made = compile_(*given, **more)
        return replace(made, ignored="unreadable") if made.problems else made

    patch.setattr(policy, "compile_consent", lenient)


def _children(change: Callable[[list[Any], Any], list[Any]]) -> Patch:
    """Nested rules read otherwise: ``change`` gets (rule, only adds) of each, and the type of the parent."""
    compile_ = provision._compile_children

    def changed(given: Any, type_: Any, *rest: Any) -> list[Any]:
        return change(compile_(given, type_, *rest), type_)

    return _put(provision, "_compile_children", changed)


def _any_element(rule: Any, request: Any) -> str | None:
    asked = [ask.matches(request) for ask in rule.asks]
    return None if not asked or any(asked) else f"{rule.path}.{rule.asks[0].element}"


def _precedence(*order: tuple[tuple[Status, ...], Kind]) -> Patch:
    return _put(verdict, "PRECEDENCE", order)


def _exceptions_outside(patch: pytest.MonkeyPatch) -> None:
    inside = evaluation._evaluate_inside

    def outside(branch: Branch, record: Any) -> Any:
        for rule in branch.rule.exceptions:
            if isinstance(found := evaluation.specialise(rule, patch_request[0]), Branch):
                answer = evaluation.evaluate(found, record)
                if not isinstance(answer, str):
                    return answer
        return inside(branch, record)

    patch_request: list[Any] = []
    narrow = policy.Policy.narrow

    def noting(self: Any, request: Any) -> Any:
        patch_request[:] = [request]
        return narrow(self, request)

    patch.setattr(policy.Policy, "narrow", noting)
    patch.setattr(evaluation, "_evaluate_inside", outside)


def _ending_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(periods, "_precision", lambda *_: timedelta(microseconds=1))
    patch.setattr(elements, "parse_date_time", periods.parse_date_time.__wrapped__)


def _in_utc(patch: pytest.MonkeyPatch) -> None:
    read = periods.parse_date_time
    patch.setattr(elements, "parse_date_time", lambda text, _: read(text, UTC))


def _any_subject(patch: pytest.MonkeyPatch) -> None:
    def first(decisions: Any) -> Any:
        return next((d for d in decisions if d.decision is Kind.PERMIT), decisions[0])

    patch.setattr(policy, "join_subjects", first)


def _self_by(related: Callable[[Any, Any], bool]) -> Patch:
    case = policy.Policy._case

    def changed(self: Any, request: Any, window: int) -> Any:
        return replace(case(self, request, window), is_self=related(self, request))

    return _put(policy.Policy, "_case", changed)


def _glass_by(breaks: Callable[[Any, Any], bool]) -> Patch:
    case = policy.Policy._case

    def changed(self: Any, request: Any, window: int) -> Any:
        return replace(case(self, request, window), breaks_glass=breaks(self, request))

    return _put(policy.Policy, "_case", changed)


def _purpose_known(request: Any) -> bool:
    return request.purpose is not None


def _asks(unknown: bool) -> Patch:
    """What an unknown purpose matches, whatever the type of the rule."""
    ask = matching._ask_purpose

    def changed(purposes: Any, type_: Any) -> Any:
        known = ask(purposes, type_)
        return lambda request: known(request) if _purpose_known(request) else unknown

    return _put(matching, "_ask_purpose", changed)


def _status_ignored(patch: pytest.MonkeyPatch) -> None:
    read = consents._read_candidacy

    def changed(consent: Any, *rest: Any) -> Any:
        return read({**consent, "status": "active"}, *rest)

    patch.setattr(consents, "_read_candidacy", changed)


def _without_emergency(patch: pytest.MonkeyPatch) -> None:
    read = Reader._purposes
    _reading("purpose", lambda *given: replace(cast("Any", read(*given)), emergency=False))(patch)


def _widening(patch: pytest.MonkeyPatch) -> None:
    read = consents._read_provision

    def changed(given: Any, base: Any, *rest: Any) -> Any:
        root = read(given, base, *rest)
        return replace(root, unmatched=Status.PERMIT) if base is Kind.PERMIT else root

    patch.setattr(consents, "_read_provision", changed)


_D = (Status.DENY, Status.INDETERMINATE)
_DENY, _PERMIT, _BASE = (
    (_D, Kind.DENY),
    ((Status.PERMIT,), Kind.PERMIT),
    ((Status.BASE_DENY,), Kind.DENY),
)
WRONG: dict[str, Patch] = {
    "the end day is over at 00:00": _ending_at_once,
    "dates without a zone are UTC": _in_utc,
    "periods of the root are ignored": _put(consents, "_read_windows", lambda *_: ()),
    "dataPeriod is ignored": _ignoring("dataPeriod"),
    "a permit needs an overlap only": _put(
        matching,
        "_read_data_period",
        lambda period, _: lambda r: r.time is None or period.interval.overlaps(r.time),
    ),
    "a deny needs the data inside": _put(
        matching,
        "_read_data_period",
        lambda period, _: lambda r: r.time is not None and period.interval.encloses(r.time),
    ),
    "status is ignored": _status_ignored,
    "patient is ignored": _put(consents, "_is_of_another", lambda *_: False),
    "scope is ignored": _put(consents, "_is_of_another_scope", lambda *_: False),
    "modifiers are ignored": _put(consents, "_check_modifiers", lambda *_: False),
    "an unreadable Consent is none": _unreadable_ignored,
    "verification is ignored": _put(consents, "_read_verifications", lambda *_: True),
    "an opt-in widens a typed permit": _widening,
    "an untyped root always permits": _put(consents, "_has_recipient", lambda *_: True),
    "an untyped root never permits": _put(consents, "_has_recipient", lambda *_: False),
    "nested rules are ignored": _children(lambda *_: []),
    "exceptions are ignored": _children(
        lambda found, type_: [f for f in found if f[0].type_ is type_]
    ),
    "additional rules are ignored": _children(
        lambda found, type_: [f for f in found if f[1] or f[0].type_ is not type_]
    ),
    "narrowing is ignored": _children(
        lambda found, type_: [f for f in found if not f[1] or f[0].type_ is not type_]
    ),
    "a nested rule of the same type always narrows": _children(
        lambda found, _: [(rule, True) for rule, _ in found]
    ),
    "exceptions hold outside their parent": _exceptions_outside,
    "elements are alternatives": _put(evaluation, "_first_failing", _any_element),
    "labels match exactly only": _exact_labels,
    "a permit of R is of R only": _permit_label(
        lambda listed, found: listed.highest is None or found.rank == listed.highest
    ),
    "a deny of R is of R or lower": _deny_label(
        lambda listed, found: listed.lowest is None or found.rank <= listed.lowest
    ),
    "one sensitivity label permits": _permit_label(
        lambda listed, found: (
            listed.highest is not None or not found.sensitive.isdisjoint(listed.covered or ())
        )
    ),
    "labels that cannot be read are none": _deny_label(
        lambda listed, found: (
            (listed.lowest is not None and found.rank >= listed.lowest)
            or not found.all.isdisjoint(listed.touched)
        )
    ),
    "purposes match exactly only": _put(terms, "purposes_covered", _exact),
    "an unknown purpose matches": _asks(unknown=True),
    "an unknown purpose does not match": _asks(unknown=False),
    "roles are ignored": _put(Reader, "_role", lambda *_: "IRCP"),
    "actors are ignored": _ignoring("actor"),
    "actions are ignored": _ignoring("action"),
    "purposes are ignored": _ignoring("purpose"),
    "labels are ignored": _ignoring("securityLabel"),
    "classes are ignored": _ignoring("class"),
    "codes are ignored": _ignoring("code"),
    "data are ignored": _ignoring("data"),
    "related is what it points at only": _put(
        matching, "_read_data", lambda data, type_: lambda r: matching._is_referred(r, data, False)
    ),
    "related is what points at it only": _put(matching, "_is_referred", lambda *_: False),
    "a permit overrides": _precedence(_PERMIT, _DENY, _BASE),
    "the base of an opt-out is as strong as a deny": _precedence(_BASE, _DENY, _PERMIT),
    "one of several patients is enough": _any_subject,
    "patients have no access of their own": _self_by(lambda *_: False),
    "a proxy is the patient": _self_by(
        lambda own, request: any(a.startswith(("Rel", "Pat")) for a in request.actors)
    ),
    "everybody may break the glass": _glass_by(
        lambda own, request: request.purpose == policy._BREAK_GLASS
    ),
    "nobody may break the glass": _glass_by(lambda *_: False),
    "the glass breaks for any purpose": _glass_by(
        lambda own, request: not own.config.break_glass.isdisjoint(request.actors)
    ),
    "the glass breaks whatever a deny names": _without_emergency,
}


def test_the_engine_gives_every_known_answer(world: Any) -> None:
    assert differing(world) == []


@pytest.mark.parametrize("reading", WRONG)
def test_a_wrong_reading_changes_a_known_answer(
    world: Any, monkeypatch: pytest.MonkeyPatch, reading: str
) -> None:
    WRONG[reading](monkeypatch)
    assert differing(world)
