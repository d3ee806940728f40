"""
Headers that every answer carries, so that a browser does nothing with it but read it.

A door that serves a page sets its own Content-Security-Policy; what an answer sets itself stays.
(OWASP, "HTTP Headers"; RFC 6797 for HSTS.)
"""

from collections.abc import Mapping, MutableMapping
from typing import Final

from worker.settings import Settings

SAFE_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_HSTS: Final = {"Strict-Transport-Security": "max-age=31536000"}


def safe_headers(settings: Settings, *, tls: bool = False) -> Mapping[str, str]:
    """
    Return what every answer of a deployment carries.

    With HSTS in production, or where TLS is served under a real name (*tls*): a browser then asks
    by HTTPS alone for a year. Not for subdomains, which may be somebody else's.
    """
    return {**SAFE_HEADERS, **_HSTS} if tls or settings.production else SAFE_HEADERS


def add_safe_headers(headers: MutableMapping[str, str], safe: Mapping[str, str]) -> None:
    """Add *safe* to *headers*; what stands there stays."""
    present = {name.lower() for name in headers}
    for name, value in safe.items():
        if name.lower() not in present:
            headers[name] = value
