"""The two EVMs that every contract is tested on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.anchoring.anvil import started
from tests.anchoring.contracts.evm import Embedded, Evm, OnAnvil
from tests.anchoring.contracts.exchange import Exchange, found


@pytest.fixture(scope="session", params=["embedded", "anvil"])
def evm(request: pytest.FixtureRequest) -> Iterator[Evm]:
    """A chain whose time the tests set; each test deploys contracts of its own on it."""
    if request.param == "embedded":
        yield Embedded()
        return
    with started() as node:
        yield OnAnvil(node)


@pytest.fixture(scope="session")
def exchange(evm: Evm) -> Exchange:
    """An exchange of four institutions, governed as ``consentry chain deploy`` would leave it."""
    return found(evm)
