"""TLS as a load speaks it."""

import functools
import ssl


@functools.cache
def unverified(*protocols: str) -> ssl.SSLContext:
    """TLS without a check of the certificate, as Locust's own users do: test hosts have a CA of their own.

    `protocols` are what ALPN offers. Made once; a default context would read all certificates of the system for each socket.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context
