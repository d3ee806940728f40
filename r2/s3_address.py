"""
Where an S3 server is and how one signs in there: the URL of EDGEKEEP_R2, read and checked.

s3://key:secret@host[:port][/bucket][?region=…&tls=on|off]
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

SHAPE = "s3://key:secret@host[:port][/bucket][?region=...&tls=on|off]"
_DEFAULT_REGION = "us-east-1"
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")


class S3OpenError(ValueError):
    """A sentence for whoever starts the host: why R2 cannot be put on this S3 server."""


@dataclass(frozen=True, slots=True)
class S3Address:
    """A server, a bucket and the keys to it. Neither key is in the repr."""

    endpoint: str
    bucket: str | None
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    region: str = _DEFAULT_REGION
    tls: bool = True


def parse_address(url: str) -> S3Address:
    """
    Return what *url* names; percent-encoded keys are decoded.

    TLS is on unless the host is a loopback address or tls=off says so. Raises
    `S3OpenError`; no message quotes the URL, which holds the secret.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise S3OpenError(f"the address cannot be read; it is {SHAPE}") from None
    if parts.scheme != "s3" or parts.fragment:
        raise S3OpenError(f"the address cannot be read; it is {SHAPE}")
    host = parts.hostname
    if not host:
        raise S3OpenError(f"the address names no host; it is {SHAPE}")
    if not parts.username or not parts.password:
        raise S3OpenError(f"the address has no key and secret; it is {SHAPE}")
    region, tls = _options(parts)
    shown = f"[{host}]" if ":" in host else host
    return S3Address(
        endpoint=shown if port is None else f"{shown}:{port}",
        bucket=_bucket(parts),
        access_key=unquote(parts.username),
        secret_key=unquote(parts.password),
        region=region,
        tls=not _is_loopback(host) if tls is None else tls,
    )


def check_bucket_name(name: str) -> str:
    """Return *name*; `S3OpenError` when S3 has no bucket of such a name."""
    if not _BUCKET_NAME.fullmatch(name) or ".." in name:
        raise S3OpenError(
            "the bucket's name is not one S3 takes: 3 to 63 lower-case letters, digits, "
            "dots and hyphens"
        )
    return name


def _bucket(parts: SplitResult) -> str | None:
    name = unquote(parts.path.removeprefix("/")).removesuffix("/")
    return check_bucket_name(name) if name else None


def _options(parts: SplitResult) -> tuple[str, bool | None]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    region = options.pop("region", _DEFAULT_REGION)
    tls = options.pop("tls", None)
    if options:
        raise S3OpenError(f"the address has an unknown option; it is {SHAPE}")
    if not _REGION.fullmatch(region):
        raise S3OpenError("region= is not the name of a region, for example eu-central-1 or auto")
    if tls not in (None, "on", "off"):
        raise S3OpenError("tls= is on or off")
    return region, None if tls is None else tls == "on"


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
