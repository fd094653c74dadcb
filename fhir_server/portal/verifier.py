"""``/log/verify``: the page that checks receipts in the browser (``anchoring/verifier_page.py``), for whoever wants it."""

import hashlib

from fastapi import APIRouter, Request, Response

from anchoring.verifier_page import verifier_page

_HEADERS = {
    "Cache-Control": "public, max-age=3600",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def verifier_router() -> APIRouter:
    """One page, the same for everybody; its policy stands in it."""
    router = APIRouter(include_in_schema=False)
    content = verifier_page()
    headers = {**_HEADERS, "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"'}

    async def page(request: Request) -> Response:
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type="text/html; charset=utf-8")

    router.add_api_route("/log/verify", page, methods=["GET", "HEAD"], response_model=None)
    return router
