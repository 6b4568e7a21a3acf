"""The content security policy: what a page of ours may load, and who may frame it."""

from asgiref.sync import iscoroutinefunction
from django.utils.decorators import sync_and_async_middleware

NAME = "Content-Security-Policy"


def policy(*, framed_by="'none'"):
    """Return a policy without inline scripts and styles: everything a page needs is a file of its own site."""
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",  # WebSockets of the same host and port are meant by it too
            "frame-src 'self'",  # what is sent with FRAMED
            "form-action 'self'",
            "base-uri 'none'",
            f"frame-ancestors {framed_by}",
        ]
    )


PAGE = policy()
# For what a page of ours shows in a frame: the streamed document, and the page that reloads itself beside the other transports.
FRAMED = {"X-Frame-Options": "SAMEORIGIN", NAME: policy(framed_by="'self'")}


@sync_and_async_middleware
def policy_middleware(get_response):
    """Send the policy with each answer that has none of its own, under WSGI and ASGI."""

    def finish(response):
        response.headers.setdefault(NAME, PAGE)
        return response

    if iscoroutinefunction(get_response):

        async def middleware(request):
            return finish(await get_response(request))

    else:

        def middleware(request):
            return finish(get_response(request))

    return middleware
