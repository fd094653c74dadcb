"""Doing something with the authorization server of a data folder: what ``consentry client`` and ``user`` have in common."""

import argparse
import asyncio
from collections.abc import Callable, Coroutine, Mapping

from fhir_server.app import open_tokens
from fhir_server.commands.token import settings_of
from fhir_server.errors import SettingsError
from smart_auth.errors import SmartError
from smart_auth.server import SmartServer

Action = Callable[[argparse.Namespace, SmartServer], Coroutine[None, None, None]]


def act(arguments: argparse.Namespace, actions: Mapping[str, Action]) -> int:
    """Do the action that is asked for; 0 when it is done.

    Raises:
        SettingsError: There is no database there, or the authorization server refuses.
    """
    settings = settings_of(arguments.data, None)

    async def do() -> None:
        async with open_tokens(settings) as smart:
            await actions[arguments.action](arguments, smart)

    try:
        asyncio.run(do())
    except SmartError as error:
        raise SettingsError(str(error)) from error
    return 0
