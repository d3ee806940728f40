"""The address in EDGEKEEP_R2, and metadata in S3's headers: what goes in comes out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3 import HTTPHeaderDict

from r2.checksums import R2Checksums
from r2.minio import S3OpenError, parse_address
from r2.objects import R2HttpMetadata
from r2.s3_metadata import Facts, headers_with_facts, read_facts, read_version


@pytest.mark.parametrize(
    ("url", "endpoint", "bucket", "region", "tls"),
    [
        ("s3://k:s@minio.example.org", "minio.example.org", None, "us-east-1", True),
        ("s3://k:s@minio:9000/photos?tls=off", "minio:9000", "photos", "us-east-1", False),
        ("s3://k:s@127.0.0.1:9000", "127.0.0.1:9000", None, "us-east-1", False),
        ("s3://k:s@[::1]:9000/", "[::1]:9000", None, "us-east-1", False),
        ("s3://k:s@localhost?tls=on&region=auto", "localhost", None, "auto", True),
    ],
)
def test_an_address_is_read(
    url: str, endpoint: str, bucket: str | None, region: str, tls: bool
) -> None:
    """TLS is on but for loopback or tls=off; the region is us-east-1 unless it is given."""
    address = parse_address(url)

    assert (address.endpoint, address.bucket) == (endpoint, bucket)
    assert (address.region, address.tls) == (region, tls)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "s3://",
            "s3://host",
            "s3://key@host",
            "http://k:topsecret@host",
            "s3://k:topsecret@",
        ),
        *("s3://k:topsecret@host:99999", "s3://k:topsecret@host/B", "s3://k:topsecret@host/a/b"),
        *("s3://k:topsecret@host?tls=maybe", "s3://k:topsecret@host?topsecret=1"),
        *("s3://k:topsecret@host?region=a%20b", "s3://k:topsecret@host/ab", "s3://k:topsecret@[x"),
    ],
)
def test_what_is_no_address_is_refused_without_quoting_it(url: str) -> None:
    """A sentence says what is wrong; the secret is in none."""
    with pytest.raises(S3OpenError) as caught:
        parse_address(url)

    assert "topsecret" not in str(caught.value)


def test_keys_are_decoded_and_do_not_print() -> None:
    """Percent-encoded keys are decoded, and neither is in the repr."""
    address = parse_address("s3://ke%2Fy:s%40e%3Ac%2Bret@host")

    assert (address.access_key, address.secret_key) == ("ke/y", "s@e:c+ret")
    assert "ke/y" not in repr(address)
    assert "c+ret" not in repr(address)


TEXTS = st.text(max_size=40)
HTTP = st.builds(R2HttpMetadata, *[st.none() | TEXTS] * 5, st.none())


@given(http=HTTP, custom=st.dictionaries(TEXTS | st.text("ab-", max_size=4), TEXTS, max_size=4))
def test_facts_come_back_from_headers(http: R2HttpMetadata, custom: dict[str, str]) -> None:
    """
    Whatever the texts, they come back from headers that are plain ASCII and fit S3's 2 KB,
    or are left to a sidecar.
    """
    facts = Facts("0" * 32, 17, "e", R2Checksums(md5=bytes(16)), http, custom)

    headers = headers_with_facts(facts)

    if headers is not None:
        assert all(value.isascii() and value.isprintable() for value in headers.values())
        assert sum(len(n) + len(v) for n, v in headers.items() if n.startswith("x-amz")) < 2048
        assert read_facts(HTTPHeaderDict(headers)) == facts


@given(st.text(max_size=60) | st.binary(max_size=30).map(bytes.hex))
def test_a_field_of_somebody_else_is_no_error(text: str) -> None:
    """Whatever stands in our field, the object is read as S3 tells it."""
    headers = HTTPHeaderDict({"etag": '"abc"', "x-amz-meta-edgekeep": text})

    assert read_version(headers) is None
    assert read_facts(headers).etag == "abc"
