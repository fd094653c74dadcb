"""The chain of the settings: which nodes are asked, what must be found there, and who pays."""

from anchoring.chain.evm import FINALIZED, JsonRpcChain, RpcSettings, connect
from anchoring.chain.nodes import Facts
from anchoring.chain.rpc import Endpoint
from anchoring.registry.node import JsonRpcNode, OneOf
from fhir_server.crypto.keys import new_account_key
from fhir_server.settings import Settings
from fhir_server.store.own_secrets import OwnSecret, Secrets

_GWEI = 10**9


def account_secret(secrets: Secrets) -> OwnSecret:
    """The private key, 32 bytes, of the account that pays; made when it is first asked for, kept wrapped."""
    return OwnSecret(secrets, "chain-account", new_account_key)


def json_rpc_chain(settings: Settings, key: bytes | None) -> JsonRpcChain:
    """The chain at ``chain_url``; nothing is asked of it yet.

    Args:
        settings: With ``chain_url`` and ``chain_contract``.
        key: Who pays, or None to only read.
    """
    rpc = RpcSettings(
        contract=_octets(settings.chain_contract),
        key=key,
        confirmations=chain_confirmations(settings),
        max_fee=settings.chain_fee_cap * _GWEI,
        max_priority_fee=settings.chain_priority_cap * _GWEI,
        assurance=settings.chain_assurance,
        meant=chain_facts(settings),
        code_hash=_octets(settings.chain_code),
    )
    timeout = settings.chain_timeout.total_seconds()
    return JsonRpcChain([connect(url, timeout) for url in settings.chain_urls], rpc)


def chain_confirmations(settings: Settings) -> int:
    """Blocks, its own included, until a block counts, or ``FINALIZED``."""
    said = settings.chain_confirmations
    return FINALIZED if said == "finalized" else int(said)


def chain_facts(settings: Settings) -> Facts:
    """Which chain the nodes must be of."""
    return Facts(settings.chain_id, _octets(settings.chain_genesis))


def registry_node(settings: Settings) -> OneOf:
    """The nodes at ``chain_url``, for registries; nothing is asked of them yet."""
    timeout = settings.chain_timeout.total_seconds()
    nodes = [JsonRpcNode(Endpoint(url, timeout)) for url in settings.chain_urls]
    return OneOf(nodes, chain_facts(settings))


def _octets(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
