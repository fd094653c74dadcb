"""Nodes that hang, flood, lie or speak nonsense: a named error, in bounded time and memory."""

import json
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from anchoring.chain import transaction as tx
from anchoring.chain.contract import artifact
from anchoring.chain.evm import JsonRpcChain, RpcSettings, connect
from anchoring.chain.nodes import Facts
from anchoring.chain.rpc import Endpoint
from anchoring.errors import (
    ChainError,
    ChainUnavailableError,
    MalformedAnswerError,
    WrongChainError,
)

KEY = bytes(31) + b"\x01"
HASH = "0x" + "ab" * 32
LOG = bytes(32)
SENT = tx.sign(tx.Transaction(5, 0, 1, 2, 21_000, b"c" * 20, b""), KEY)

Talk = Callable[[socket.socket], None]


@contextmanager
def listening(talk: Talk) -> Iterator[str]:
    """A server that takes each connection, reads the request and then does what ``talk`` does; its url."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=converse, args=(peer,), daemon=True).start()

        def converse(peer: socket.socket) -> None:
            with peer:
                try:
                    peer.recv(65_536)
                    talk(peer)
                except OSError:
                    return  # who asked has gone

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def answer(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), b"Connection: close"]
    return b"\r\n".join([*lines, *headers, b"", body])


def hang(_: socket.socket) -> None:
    time.sleep(3)


def drip_headers(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\n")
    for _ in range(30):
        peer.sendall(b"X: y\r\n")
        time.sleep(0.1)


def drip_body(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(30):
        peer.sendall(b"x")
        time.sleep(0.1)


@pytest.mark.parametrize("talk", [hang, drip_headers, drip_body])
def test_a_node_that_hangs_or_drips_is_left_in_time(talk: Talk) -> None:
    with listening(talk) as url:
        began = time.monotonic()
        with pytest.raises(ChainUnavailableError, match="TimeoutError"):
            Endpoint(url, 0.3).post(b"{}")
        assert time.monotonic() - began < 1.5


def test_a_hundred_megabytes_and_an_endless_stream_are_not_read() -> None:
    def flood(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            peer.sendall(b"100000\r\n" + bytes(0x100000) + b"\r\n")

    def huge(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
        while True:
            peer.sendall(bytes(0x100000))

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for talk in (flood, huge):
        with listening(talk) as url, pytest.raises(MalformedAnswerError, match="more than"):
            Endpoint(url, 10.0).post(b"{}")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 64 * 1024  # KiB


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"no HTTP at all\r\n\r\n",
        answer(b"", status=b"500 Internal Server Error"),
        answer(b"", status=b"429 Too Many Requests"),
        answer(b"", b"Location: http://127.0.0.1:9/", status=b"302 Found"),
        answer(b"x" * 30, b"Content-Encoding: gzip"),
    ],
)
def test_what_is_no_answer_is_told_as_none(said: bytes) -> None:
    with (
        listening(lambda peer: peer.sendall(said)) as url,
        pytest.raises(ChainUnavailableError) as told,
    ):
        Endpoint(url, 2.0).post(b"{}")
    assert url not in str(told.value)


def test_an_answer_is_given_as_it_came() -> None:
    with listening(lambda peer: peer.sendall(answer(b'{"a":1}'))) as url:
        assert Endpoint(url, 2.0).post(b"{}") == b'{"a":1}'


ANCHORED = {
    "blockNumber": "0x2",
    "blockHash": HASH,
    "transactionHash": "0x" + SENT.hash_.hex(),
    "gasUsed": "0x1",
    "effectiveGasPrice": "0x1",
    "logs": [],
}
HONEST: dict[str, Any] = {
    "eth_chainId": "0x5",
    "eth_blockNumber": "0x9",
    "eth_getBlockByNumber": {"hash": HASH, "number": "0x2", "baseFeePerGas": "0x7"},
    "eth_getCode": "0x" + artifact().runtime.hex(),
    "eth_call": "0x" + bytes(96).hex(),
    "eth_maxPriorityFeePerGas": "0x1",
    "eth_getTransactionCount": "0x0",
    "eth_getTransactionReceipt": ANCHORED,
    "eth_sendRawTransaction": "0x" + SENT.hash_.hex(),
    "eth_getTransactionByHash": None,
    "eth_getBalance": "0x0",
}


@contextmanager
def telling(changed: dict[str, Any]) -> Iterator[str]:
    """A node that answers every method, with these answers changed; bytes are sent as they are."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Node(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            result = (HONEST | changed)[asked["method"]]
            said = {"jsonrpc": "2.0", "id": asked["id"], "result": result}
            body = result if isinstance(result, bytes) else json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Node)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


ASKS: dict[str, Callable[[JsonRpcChain], object]] = {
    "identity": lambda chain: chain.identity(),
    "head": lambda chain: chain.head(LOG),
    "prepare": lambda chain: chain.prepare(LOG, 1, LOG, []),
    "find": lambda chain: chain.find(SENT.hash_),
    "send": lambda chain: chain.send(SENT.raw),
    "account": lambda chain: chain.account(),
}
USES = {
    "eth_chainId": ("identity", "prepare"),
    "eth_blockNumber": ("find",),
    "eth_getBlockByNumber": ("identity", "prepare", "find", "account"),
    "eth_getCode": ("identity",),
    "eth_call": ("head",),
    "eth_maxPriorityFeePerGas": ("prepare",),
    "eth_getTransactionCount": ("prepare",),
    "eth_getTransactionReceipt": ("find",),
    "eth_sendRawTransaction": ("send",),
    "eth_getBalance": ("account",),
}
NONSENSE = [
    *(None, True, -1, 7, 1.5, 10**30, "", "0x", "0xzz", "x", "0x" + "f" * 100_000, [], {}, [[]]),
    *({"hash": None}, {"hash": 10**9, "number": "0x2", "baseFeePerGas": []}),
    *(ANCHORED | {"blockNumber": None}, ANCHORED | {"blockHash": 1}, ANCHORED | {"logs": None}),
    *(
        ANCHORED | {"logs": [{}]},
        ANCHORED | {"gasUsed": "lots"},
        ANCHORED | {"transactionHash": HASH},
    ),
    *(b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b'{"jsonrpc":"2.0","id":0}'),
    *(b'{"jsonrpc":"2.0","id":0,"error":7}', b'{"jsonrpc":"2.0","id":0,"error":{"code":1}}'),
    b'{"jsonrpc":"2.0","id":0,"error":{"code":-32000,"message":"header not found"}}',
]


@pytest.mark.filterwarnings("ignore:There was an issue with the method")  # web3 has a way around
@pytest.mark.parametrize("method", USES)
def test_nonsense_is_told_by_a_named_error_or_changes_nothing(method: str) -> None:
    changed: dict[str, Any] = {}
    with telling(changed) as url:
        chain = JsonRpcChain(connect(url, 5.0), RpcSettings(b"c" * 20, KEY))
        for said in NONSENSE:
            changed[method] = said
            for ask in USES[method]:
                with suppress(ChainError):
                    ASKS[ask](chain)


def test_a_block_hash_that_is_not_that_of_the_block_anchors_nothing() -> None:
    other = HONEST["eth_getBlockByNumber"] | {"hash": "0x" + "cd" * 32}
    with telling({"eth_getBlockByNumber": other}) as url:
        chain = JsonRpcChain(connect(url, 5.0), RpcSettings(b"c" * 20, KEY))
        assert chain.find(SENT.hash_) is None


def test_of_several_nodes_the_next_is_asked_when_one_does_not_answer() -> None:
    with telling({}) as first, telling({"eth_getTransactionCount": "0x3"}) as second:
        nodes = [connect(url, 5.0) for url in ("http://127.0.0.1:9", second, first)]
        chain = JsonRpcChain(nodes, RpcSettings(b"c" * 20, KEY))
        assert chain.identity().chain_id == 5
        assert tx.read(chain.prepare(LOG, 1, LOG, []).raw).content.nonce == 3  # stays with it


def test_a_node_of_another_chain_is_left_out_whether_it_comes_first_or_last() -> None:
    meant = Facts(chain_id=5, genesis_hash=bytes.fromhex(HASH[2:]))
    lies = {"eth_chainId": "0x6", "eth_getTransactionCount": "0x9"}
    with telling({}) as honest, telling(lies) as liar:
        for urls in ((honest, liar), (liar, honest)):
            settings = RpcSettings(b"c" * 20, KEY, meant=meant)
            chain = JsonRpcChain([connect(url, 5.0) for url in urls], settings)
            for _ in range(2):
                content = tx.read(chain.prepare(LOG, 1, LOG, []).raw).content
                assert (content.chain_id, content.nonce) == (5, 0)
        for urls in ((liar,), (liar, liar)):
            chain = JsonRpcChain([connect(url, 5.0) for url in urls], settings)
            for _ in range(2):
                with pytest.raises(WrongChainError):
                    chain.prepare(LOG, 1, LOG, [])
        down = JsonRpcChain([connect(u, 5.0) for u in (liar, "http://127.0.0.1:9")], settings)
        with pytest.raises(ChainUnavailableError):
            down.head(LOG)


def test_without_an_expected_chain_the_first_node_decides_and_the_others_must_agree() -> None:
    with telling({}) as first, telling({"eth_chainId": "0x6"}) as other:
        chain = JsonRpcChain([connect(u, 5.0) for u in (first, other)], RpcSettings(b"c" * 20, KEY))
        assert chain.identity().chain_id == 5
    with pytest.raises(ChainUnavailableError):
        chain.identity()


def test_a_replacement_raises_both_fees_by_an_eighth_and_stops_at_the_cap() -> None:
    """Clients refuse less than an eighth (anvil takes a thousandth, so no real node is asked here)."""
    with telling({"eth_getBlockByNumber": HONEST["eth_getBlockByNumber"]}) as url:
        settings = RpcSettings(b"c" * 20, KEY, max_fee=400, max_priority_fee=30)
        chain = JsonRpcChain(connect(url, 5.0), settings)
        signed, fees = chain.prepare(LOG, 1, LOG, []), []
        for _ in range(100):
            content = tx.read(signed.raw).content
            fees.append((content.fee, content.priority_fee))
            newer = chain.replace(signed.raw)
            if newer == signed:
                break
            signed = newer
        assert newer == signed
        for (fee, priority), (old_fee, old_priority) in zip(fees[1:], fees, strict=False):
            assert fee * 8 >= old_fee * 9
            assert fee > old_fee
            assert priority * 8 >= old_priority * 9
            assert priority > old_priority
        assert fees[-1][0] <= 400
        assert fees[-1][1] <= 30
        assert fees[-1][1] * 9 > 30 * 8


def test_a_replacement_of_a_nonce_that_is_taken_has_the_next_one() -> None:
    with telling({"eth_getTransactionCount": "0x4"}) as url:
        chain = JsonRpcChain(connect(url, 5.0), RpcSettings(b"c" * 20, KEY))
        assert tx.read(chain.replace(SENT.raw).raw).content.nonce == 4
