"""A house in this process, set up as ``consentry serve`` sets up its workers: event loop, interpreter's lock, memory."""

import gc
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from fhir_server.app import House, open_house
from fhir_server.commands.serve import set_up_process
from fhir_server.memory import settle_memory
from fhir_server.settings import read_settings

_Result = TypeVar("_Result")


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """What it gives."""
    set_up_process()
    return uvloop.run(work)  # type: ignore[no-any-return]


async def opened(data: Path) -> House:
    """One that has started; close it with ``close_house``."""
    house = await open_house(read_settings(data=data))
    gc.unfreeze()  # what a house before it has left
    settle_memory()
    return house
