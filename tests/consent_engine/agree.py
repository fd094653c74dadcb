"""``python -m tests.consent_engine.agree [CASES] [SEED]``: the engine and the naive evaluator on random cases.

100,000 unless told otherwise, of the kind of ``strategies.py``, but without hypothesis, which would take an hour for them.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from typing import Any

from consent_engine import decide

from .conftest import SYSTEMS, World
from .naive import naive
from .test_agreement import config_of, request_of

PEOPLE = ["Practitioner/1", "Organization/1"]
DAYS = [("2024-01-01", "2024-12-31"), ("2024-06-01", "2024-06-01"), ("2020-01-01", "2023-12-31")]
LABELS = ["N", "R", "V", "PSY", "SPI", "SUD", "ETH", "ETHUD", "HIV"]
MEANINGS = ["instance", "related", "dependents", "authoredby"]
RECORDS = ["Observation/r", "Encounter/1", "Task/1", "Practitioner/1"]
ELEMENTS = [
    "actor",
    "action",
    "purpose",
    "securityLabel",
    "class",
    "code",
    "dataPeriod",
    "data",
    "period",
]


class Dice:
    """Draws cases."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._world = World()

    def case(self) -> dict[str, Any]:
        named = self._some(RECORDS, 0, 4)
        return {
            "consents": [self._consent(True) for _ in range(self._below(4))],
            "admin": [self._consent(False) for _ in range(self._below(2))],
            "actors": frozenset(
                self._some([*PEOPLE, "Practitioner/9", "Group/er", "Patient/1"], 0, 3)
            ),
            "purpose": self._one([None, "TREAT", "ETREAT", "BTG", "HPAYMT"]),
            "action": self._one([None, "access", "correct"]),
            "custodian": self._one([None, "Organization/1", "Organization/2"]),
            "default": self._one(["deny", "deny", "permit"]),
            "resource": self._record(),
            "graph": {name: self._some(["Observation/r", "Condition/r"], 0, 1) for name in named},
        }

    def _below(self, number: int) -> int:
        return self._random.randrange(number)

    def _one(self, of: list[Any]) -> Any:
        return self._random.choice(of)

    def _some(self, of: list[str], least: int = 1, most: int = 2) -> list[str]:
        return self._random.sample(of, self._random.randint(least, most))

    def _consent(self, patient: bool) -> dict[str, Any]:
        provision = self._provision(3, nested=False) if self._below(6) else None
        rule = self._one([None, "OPTIN", "OPTOUT"])
        made = self._world.consent(provision, rule)
        made["status"] = self._one(["active", "active", "active", "inactive"])
        if not self._below(6):
            made["verification"] = [{"verified": bool(self._below(2))}]
        return made if patient else {k: v for k, v in made.items() if k != "patient"}

    def _provision(self, depth: int, nested: bool) -> dict[str, Any]:
        made = {name: self._element(name) for name in self._some(ELEMENTS, 0, 2)}
        if nested or self._below(2):
            made["type"] = self._one(["permit", "deny"])
        if depth > 1 and self._below(3):
            children = range(1 + self._below(2))
            made["provision"] = [self._provision(depth - 1, nested=True) for _ in children]
        return made or {"type": "permit"}

    def _element(self, name: str) -> Any:
        world = self._world
        match name:
            case "actor":
                return [self._actor() for _ in range(1 + self._below(2))]
            case "action":
                return world.actions(*self._some(["access", "correct"]))
            case "purpose":
                return world.purposes(*self._some(["TREAT", "ETREAT", "BTG", "HPAYMT"]))
            case "securityLabel":
                return world.labels(*self._some(LABELS))
            case "class" if self._below(2):
                return [world.coding("urn:other", "Observation2")]
            case "class":
                return world.classes(*self._some(["Observation", "Condition"]))
            case "code":
                return [world.concept("loinc", code) for code in self._some(["1-1", "2-2"])]
            case "data":
                return world.data(self._one(MEANINGS), self._one(RECORDS))
            case _:
                start, end = self._one(DAYS)
                return {"start": start, "end": end}

    def _actor(self) -> dict[str, Any]:
        made = self._world.actor(self._one(PEOPLE), self._one(["IRCP", "IRCP", "CST", "AUT"]))
        return made if self._below(3) else {**made, "reference": {"display": "somebody"}}

    def _record(self) -> dict[str, Any]:
        labels = self._some(LABELS) if self._below(2) else []
        made = self._world.record(*labels, type_=self._one(["Observation", "Condition"]))
        coding = {"system": SYSTEMS["loinc"], "code": self._one(["1-1", "2-2"])}
        optional = {
            "code": {"coding": [coding]},
            "effectiveDateTime": self._one(["2022-05-05", "2024-03-03"]),
            "performer": [{"reference": self._one(PEOPLE)}],
            "encounter": {"reference": "Encounter/1"},
        }
        return {**made, **{name: value for name, value in optional.items() if self._below(2)}}


def agree(number: int, seed: int = 1) -> Counter[tuple[str, str]]:
    """The answers of ``number`` random cases, of which each is the same by both.

    Raises:
        AssertionError: One is not; it says what was asked.
    """
    dice, world, answers = Dice(seed), World(), Counter[tuple[str, str]]()
    for _ in range(number):
        case = dice.case()
        rest = (request_of(world, case), case["resource"], config_of(case), case["graph"])
        found = decide(["Patient/1"], case["consents"], *rest)
        answer = (found.decision.value, found.basis.value)
        assert answer == naive(case), case
        answers[answer] += 1
    return answers


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    counted = agree(*(given or [100_000]))
    sys.stdout.write(f"{counted.total():,} cases, no difference\n")
    for (decision, basis), times in counted.most_common():
        sys.stdout.write(f"  {decision} by {basis}: {times:,}\n")
