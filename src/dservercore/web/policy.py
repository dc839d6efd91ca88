"""What a browser may do with a page: load from this server alone, send forms to it alone, run no inline script."""

from __future__ import annotations

from flask import Response, g

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)


def protect(response: Response) -> Response:
    """Add the policy to a page that has none of its own, and return it.

    What is for one user alone, or has a form, is kept nowhere: after signing out, Back shows nothing.
    """
    response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    # Also what leads a visitor to sign in: another reader of the same address gets another answer.
    response.vary.add("Cookie")
    if g.get("csrf_token"):
        response.headers["Cache-Control"] = "no-store"
    return keep_nowhere(response)


def keep_nowhere(response: Response) -> Response:
    """Have nobody keep an answer that the session of a browser has decided, a page or a file; return it."""
    if g.get("browser_session"):
        response.headers["Cache-Control"] = "no-store"
        response.vary.add("Cookie")
    return response
