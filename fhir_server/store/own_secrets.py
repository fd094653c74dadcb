"""The server's own keys, made when first asked for and kept wrapped by the key provider, in whatever database."""

from collections.abc import Callable
from dataclasses import dataclass

from fhir_server.crypto.provider import KeyProvider
from fhir_server.store.database import SecretItems


class Secrets:
    """The keys of one server, or of several on one database."""

    def __init__(self, items: SecretItems, provider: KeyProvider, tenant: str) -> None:
        self._items = items
        self._provider = provider
        self._tenant = tenant.encode()

    async def get(self, name: str, make: Callable[[], bytes]) -> bytes:
        """The secret ``name``.

        Raises:
            WrongKeyError: The key provider is not the one that wrapped it.
        """
        purpose = b"secret|" + self._tenant + b"|" + name.encode()
        wrapped = await self._items.find(name)
        if wrapped is None:  # of several that make it at once, the first one's holds for all
            wrapped = await self._items.add(name, self._provider.wrap(make(), purpose))
        return self._provider.unwrap(wrapped, purpose)

    async def change(self, name: str, content: bytes) -> None:
        """Put another content in the place of a secret that is there."""
        purpose = b"secret|" + self._tenant + b"|" + name.encode()
        former = await self._items.find(name)
        assert former is not None, "there is nothing to change"
        await self._items.replace(name, former, self._provider.wrap(content, purpose))


@dataclass(frozen=True, slots=True)
class OwnSecret:
    """One secret by its name, for who changes it; ``make`` makes the first content."""

    secrets: Secrets
    name: str
    make: Callable[[], bytes]

    async def load(self) -> bytes:
        """Its content."""
        return await self.secrets.get(self.name, self.make)

    async def save(self, content: bytes) -> None:
        """Put another content in its place."""
        await self.secrets.change(self.name, content)
