"""Whether an S3 server can hold the bucket, found out at the start and said in a sentence."""

from __future__ import annotations

from typing import Final

from r2.s3_address import S3Address, S3OpenError
from r2.s3_wire import Refused, Unreachable, Wire
from r2.s3_xml import NotS3, read_list

# Codes that come of keys the server does not take.
_KEYS: Final = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidAccessKey",
    "InvalidArgument",
    "AuthorizationHeaderMalformed",
    "InvalidToken",
    "ExpiredToken",
    "Unauthorized",
}


async def ensure_bucket(wire: Wire, address: S3Address) -> None:
    """
    Make the bucket of *wire* unless it is there. Raises `S3OpenError`.
    """
    where = f"{'https' if address.tls else 'http'}://{address.endpoint}"
    try:
        await wire.wait_plainly(wire.submit(_ensure, wire))
    except TimeoutError:
        raise S3OpenError(f"the S3 server {where} does not answer in time") from None
    except Unreachable as error:
        raise S3OpenError(f"the S3 server {where} cannot be reached: {_why(error)}") from None
    except NotS3:
        raise S3OpenError(f"{where} answers, but not as an S3 server does") from None
    except Refused as refused:
        raise S3OpenError(_refusal(refused, where, wire.bucket, address)) from None


def _ensure(wire: Wire) -> None:
    try:
        read_list(
            wire.request(
                "GET", query={"list-type": "2", "max-keys": "1", "prefix": "", "delimiter": ""}
            ).data
        )
        return
    except Refused as refused:
        if refused.status != 404 or refused.code not in ("NoSuchBucket", ""):
            raise
    try:
        wire.make_bucket()
    except Refused as refused:
        # Another host was faster.
        if refused.code != "BucketAlreadyOwnedByYou":
            raise


def _why(error: Unreachable) -> str:
    if "WRONG_VERSION_NUMBER" in error.why or "record layer" in error.why.lower():
        return "it does not speak TLS; add ?tls=off to the address if that is meant to be so"
    if "CERTIFICATE_VERIFY_FAILED" in error.why:
        return "its certificate is not trusted here; SSL_CERT_FILE can name your own authority"
    return error.why


def _refusal(refused: Refused, where: str, bucket: str, address: S3Address) -> str:
    told = f"{refused.status} {refused.code}".rstrip()
    if refused.code in _KEYS and "region" not in refused.code.lower():
        return f"the S3 server {where} does not accept the key or the secret ({told})"
    if refused.status in (301, 307) or refused.code in ("PermanentRedirect", "IllegalLocation"):
        return f"the bucket {bucket} is not in the region {address.region}: set ?region= ({told})"
    if refused.code == "RequestTimeTooSkewed":
        return f"the clocks of this machine and of {where} differ too much ({told})"
    if refused.code == "BucketAlreadyExists":
        return f"the bucket {bucket} belongs to somebody else: choose another name ({told})"
    if refused.status in (401, 403):
        return (
            f"the S3 server {where} does not let this key use the bucket {bucket} ({told}): "
            "check key, secret and permissions"
        )
    if refused.status == 400 and not refused.code and not address.tls:
        return f"the S3 server {where} seems to want TLS: set ?tls=on ({told})"
    return f"the S3 server {where} refuses the bucket {bucket} ({told})"
