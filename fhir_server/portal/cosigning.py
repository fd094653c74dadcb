"""Asking the witnesses that the operator names: one request each time the log is about to be anchored.

The addresses are the operator's, so private ones are reached, too; redirects are not followed, and no proxy is asked.
"""

import httpx2

from anchoring.errors import WitnessSilentError
from anchoring.witnessing.witnesses import MOST_BYTES, Reply

_SECONDS = 5.0  # for each step; ``anchoring.witnessing.witnesses`` bounds the whole


async def post(url: str, body: bytes) -> Reply:
    """See ``anchoring.witnessing.witnesses.Post``."""
    try:
        async with (
            httpx2.AsyncClient(trust_env=False, timeout=_SECONDS) as client,
            client.stream("POST", url, content=body, headers=_HEADERS) as answer,
        ):
            return Reply(
                answer.status_code, answer.headers.get("content-type", ""), await _read(answer)
            )
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
        raise WitnessSilentError(f"not reached: {type(error).__name__}") from error


_HEADERS = {"Content-Type": "text/plain; charset=utf-8", "Accept-Encoding": "identity"}


async def _read(answer: httpx2.Response) -> bytes:
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise WitnessSilentError("the answer is packed")
    body = b""
    async for part in answer.aiter_raw():
        body += part
        if len(body) > MOST_BYTES:
            raise WitnessSilentError("the answer is too large")
    return body
