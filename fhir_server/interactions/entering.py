"""The register of Consents at the start: made where a database has none yet, compared with its root where it has one.

Whether there is one stands in the sealed index key, so that nobody can have it made anew from an index of their own: 32
bytes of key, and ``REGISTERED`` behind them.
"""

from fhir_server.store.own_secrets import Secrets
from fhir_server.store.protocol import Selection
from fhir_server.vault.vault import Vault

INDEX_KEY = "blind-index"
REGISTERED = b"\x01"
_KEY = 32
_UNIT = 100


async def open_register(vault: Vault, own: Secrets, key: bytes) -> None:
    """Make or check the register; ``key`` is the content of the secret ``INDEX_KEY``.

    Raises:
        TamperedRecordError: It is not what was written.
    """
    if key[_KEY:] != REGISTERED:
        await _enter_all(vault)
        await own.change(INDEX_KEY, key[:_KEY] + REGISTERED)
    await vault.check_register()


async def _enter_all(vault: Vault) -> None:
    async with vault.writing() as writer:
        await writer.begin_register()
    after = 0
    while True:
        async with vault.writing() as writer:
            found = await writer.select(Selection("Consent", after=(0, after), limit=_UNIT))
            for version in found:
                await writer.enter_stored(version)
        if not found:
            return
        after = found[-1].rid
