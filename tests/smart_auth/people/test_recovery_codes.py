"""Recovery codes: each once, by whatever process."""

from __future__ import annotations

import asyncio
import re
import secrets

import pytest

from smart_auth.people.one_time_codes import WrongCodeError
from smart_auth.people.recovery_codes import CODES, RecoveryCodes
from smart_auth.store import digest
from tests.smart_auth.stand_ins import MemoryRegister

ANNA, DOE = digest("anna"), digest("drdoe")


@pytest.fixture
def codes() -> RecoveryCodes:
    return RecoveryCodes(MemoryRegister(), secrets.token_bytes)


async def test_ten_different_codes_of_80_bits(codes: RecoveryCodes) -> None:
    made = await codes.renew(ANNA)
    assert len(set(made)) == CODES == await codes.left(ANNA)
    assert all(re.fullmatch("([A-Z2-7]{4}-){3}[A-Z2-7]{4}", each) for each in made)


async def test_each_code_works_once(codes: RecoveryCodes) -> None:
    first, second, *_ = await codes.renew(ANNA)
    await codes.use(ANNA, f" {first.lower().replace('-', ' ')} ")
    with pytest.raises(WrongCodeError):
        await codes.use(ANNA, first)
    await codes.use(ANNA, second)
    assert await codes.left(ANNA) == CODES - 2


async def test_one_code_used_32_times_at_once_works_once(codes: RecoveryCodes) -> None:
    first, *_ = await codes.renew(ANNA)
    uses = [codes.use(ANNA, first) for _ in range(32)]
    answers = await asyncio.gather(*uses, return_exceptions=True)
    assert answers.count(None) == 1


async def test_new_codes_end_the_old_ones_and_nobody_elses(codes: RecoveryCodes) -> None:
    old, others = await codes.renew(ANNA), await codes.renew(DOE)
    await codes.renew(ANNA)
    for wrong in (old[0], others[0], "", "x" * 100_000, "a\x00b", "\ud800", "é"):
        with pytest.raises(WrongCodeError):
            await codes.use(ANNA, wrong)
    await codes.use(DOE, others[0])


async def test_no_code_is_kept_in_clear(codes: RecoveryCodes) -> None:
    made = await codes.renew(ANNA)
    kept = repr(codes.register)
    assert not any(each in kept or each.replace("-", "") in kept for each in made)
