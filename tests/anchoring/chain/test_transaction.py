"""EIP-1559 transactions against eth-account, an independent implementation, and malformed ones."""

import sys

import pytest
from eth_account import Account
from eth_hash.auto import keccak
from eth_keys.backends import CoinCurveECCBackend, NativeECCBackend, get_backend
from eth_keys.datatypes import PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from anchoring.chain import transaction as tx
from anchoring.chain.transaction import Transaction
from anchoring.errors import UnknownTransactionError

KEY = bytes(31) + b"\x05"
CALL = Transaction(1, 0, 1, 10**9, 600_000, b"\x11" * 20, b"\x00" * 300)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 2**63),
    st.integers(0, 2**40),
    st.integers(0, 2**60),
    st.binary(max_size=400),
    st.integers(1, 2**200),
)
def test_eth_account_signs_and_recovers_the_same(
    chain_id: int, nonce: int, fee: int, call: bytes, key: int
) -> None:
    content = Transaction(chain_id, nonce, 1, fee, 21_000, b"\x11" * 20, call)
    private = key.to_bytes(32, "big")
    ours = tx.sign(content, private)
    theirs = Account.sign_transaction(
        {
            "type": 2,
            "chainId": chain_id,
            "nonce": nonce,
            "maxPriorityFeePerGas": 1,
            "maxFeePerGas": fee,
            "gas": 21_000,
            "to": b"\x11" * 20,
            "value": 0,
            "data": call,
        },
        private,
    )
    assert (ours.raw, ours.hash_) == (bytes(theirs.raw_transaction), bytes(theirs.hash))
    assert tx.read(ours.raw) == tx.ReadTransaction(content, tx.address(private), ours.hash_)
    assert Account.recover_transaction(ours.raw) == Account.from_key(private).address


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="coincurve is not built for it yet")
@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.integers(1, 2**200))
def test_libsecp256k1_signs_and_recovers_as_the_slow_arithmetic_does(
    hash_: bytes, key: int
) -> None:
    """Whoever reads a receipt may have only the latter."""
    fast, slow = CoinCurveECCBackend(), NativeECCBackend()
    private = key.to_bytes(32, "big")
    signed = [PrivateKey(private, each).sign_msg_hash(hash_) for each in (fast, slow)]
    assert signed[0].to_bytes() == signed[1].to_bytes()
    own = PrivateKey(private).public_key.to_bytes()
    assert [each.recover_public_key_from_msg_hash(hash_).to_bytes() for each in signed] == [own] * 2
    assert isinstance(get_backend(), CoinCurveECCBackend)


def test_the_address_of_a_contract_is_that_of_create() -> None:
    # EIP-1014's counterpart for CREATE: keccak256(rlp([sender, nonce])), as used by every client
    sender = bytes.fromhex("6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0")
    expected = "cd234a471b72ba2f1ccf0a70fcaba648a5eecd8d"
    assert tx.contract_address(sender, 0).hex() == expected


@pytest.mark.parametrize("length", [0, 1, 2, 3, 50, 100, 400])
def test_a_transaction_cut_short_is_refused(length: int) -> None:
    with pytest.raises(UnknownTransactionError):
        tx.read(tx.sign(CALL, KEY).raw[:length])


def test_every_flipped_bit_is_refused_or_names_another_transaction() -> None:
    signed = tx.sign(CALL, KEY)
    for bit in range(0, len(signed.raw) * 8, 13):
        at = bit // 8
        raw = signed.raw[:at] + bytes([signed.raw[at] ^ (1 << bit % 8)]) + signed.raw[at + 1 :]
        try:
            read = tx.read(raw)
        except UnknownTransactionError:
            continue
        assert read.hash_ != signed.hash_
        assert read.sender != tx.address(KEY) or read.content != CALL


@pytest.mark.parametrize(
    "raw",
    [
        b"\x01" + tx.sign(CALL, KEY).raw[1:],  # another type
        b"\xf8" + tx.sign(CALL, KEY).raw[1:],  # a legacy transaction
        tx.sign(CALL, KEY).raw + b"\x00",
        b"\x02\xc0",
        b"\x02\x80",
        b"\x02" + b"\xc1" * 100_000,  # nested deep
        b"\x02\xff" + b"\xff" * 8,  # a length of 2**64
        b"\x02\xb8\x01\x01",  # a length that needs no length byte
        b"\x02" + bytes(200_000),
    ],
)
def test_bytes_that_are_no_transaction_are_refused(raw: bytes) -> None:
    with pytest.raises(UnknownTransactionError):
        tx.read(raw)


def test_the_other_signature_of_the_same_transaction_is_refused() -> None:
    """EIP-2: (r, n - s) verifies as well, and would give the transaction a second hash."""
    n = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # SEC 2, secp256k1
    fields = tx._decode(tx.sign(CALL, KEY).raw[1:])
    assert isinstance(fields, list)
    y, s = (int.from_bytes(fields[at], "big") for at in (9, 11))
    other = [*fields[:9], tx._number(1 - y), fields[10], tx._number(n - s)]
    with pytest.raises(UnknownTransactionError, match="canonical"):
        tx.read(b"\x02" + tx._encode(other))


def test_a_transaction_that_moves_coins_is_not_an_anchor() -> None:
    theirs = Account.sign_transaction(
        {
            "type": 2,
            "chainId": 1,
            "nonce": 0,
            "maxPriorityFeePerGas": 1,
            "maxFeePerGas": 1,
            "gas": 21_000,
            "to": b"\x11" * 20,
            "value": 1,
            "data": b"",
        },
        KEY,
    )
    with pytest.raises(UnknownTransactionError):
        tx.read(bytes(theirs.raw_transaction))


def test_keccak_is_not_sha3() -> None:
    # the hash of nothing, as in the Ethereum yellow paper
    assert tx.keccak256(b"").hex().startswith("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7b")
    assert tx.keccak256(b"") == keccak(b"")
