"""What a node's answer may hold: each value is of its kind, or there was no answer.

web3 turns the JSON of a node into Python's types where it looks as expected, and passes on what does
not: so nothing is used before it went through here.
"""

import contextlib
from collections.abc import Iterator
from typing import NoReturn

from anchoring.errors import (
    AnchorRevertedError,
    ChainError,
    ChainUnavailableError,
    MalformedAnswerError,
)

SAID = 200  # characters of a node's words that go into an error
_LARGEST = 2**96  # of any quantity: wei, gas, block numbers


def quantity(value: object) -> int:
    """Give a number of wei, gas or blocks.  Raises ``MalformedAnswerError``, as all here."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _LARGEST:
        raise MalformedAnswerError("the node's answer has something else than a quantity")
    return value


def octets(value: object) -> bytes:
    """Give bytes of any length."""
    if not isinstance(value, bytes):
        raise MalformedAnswerError("the node's answer has something else than bytes")
    return bytes(value)


def digest(value: object) -> bytes:
    """Give 32 bytes."""
    found = octets(value)
    if len(found) != 32:
        raise MalformedAnswerError("the node's answer has something else than a hash")
    return found


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """Turn the many ways in which a node does not answer, or answers nonsense, into a few.

    Raises:
        ChainUnavailableError: No answer, or a refusal.
        MalformedAnswerError: An answer in another form.
        AnchorRevertedError: The contract that was called reverted.
    """
    from web3.exceptions import ContractLogicError, TransactionNotFound, Web3Exception, Web3RPCError

    try:
        yield
    except (ChainError, TransactionNotFound):
        raise
    except ContractLogicError as error:
        raise AnchorRevertedError("the contract reverted the call") from error
    except Web3RPCError as error:
        raise ChainUnavailableError(f"the node refuses: {str(error)[:SAID]}") from error
    except OSError as error:
        raise ChainUnavailableError(f"the node does not answer: {type(error).__name__}") from error
    except (
        Web3Exception,
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        _malformed(error)


def _malformed(error: Exception) -> NoReturn:
    kind = type(error).__name__
    raise MalformedAnswerError(f"the node's answer is not in its form: {kind}") from error
