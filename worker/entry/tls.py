"""
TLS of a host: the operator's certificate, or one that this machine makes for itself.

The development certificate is self-signed, for localhost only, and belongs to the state directory:
nobody else trusts it, so its key is worth nothing elsewhere. The command line recognises it by its
fingerprint, which host.json tells.
"""

import datetime
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from worker.entry.config import ConfigError
from worker.entry.private_file import write_private

FOLDER = "tls"
_NAMES = ("localhost",)
_ADDRESSES = ("127.0.0.1", "::1")
# Browsers refuse more than 398 days (CA/Browser Forum, Baseline Requirements 6.3.2).
_DAYS = 365
_RENEW_DAYS = 30


@dataclass(frozen=True, slots=True)
class Tls:
    """What a host serves TLS with; *fingerprint* is the SHA-256 of the certificate (DER), hex."""

    context: ssl.SSLContext
    fingerprint: str
    development: bool


def load(certificate: Path, key: Path, now: float) -> Tls:
    """
    Read a certificate (with its chain) and its key, both PEM.

    Raises `ConfigError` when a file cannot be read, is something else, does not fit the other, or
    the certificate does not hold at *now* (epoch seconds).
    """
    leaf = _certificate(certificate)
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    if moment > leaf.not_valid_after_utc:
        raise ConfigError(f"{certificate} expired on {leaf.not_valid_after_utc:%Y-%m-%d}.")
    if moment < leaf.not_valid_before_utc:
        raise ConfigError(f"{certificate} holds only from {leaf.not_valid_before_utc:%Y-%m-%d} on.")
    _check_key(key, certificate, leaf)
    return _serving(certificate, key, leaf, development=False)


def development(state: Path, now: float) -> Tls:
    """
    Return the development certificate of *state*; made when missing, damaged or soon to expire.

    Raises `ConfigError` when it cannot be written.
    """
    certificate, key = state / FOLDER / "certificate.pem", state / FOLDER / "key.pem"
    until = datetime.datetime.fromtimestamp(now, datetime.UTC) + datetime.timedelta(_RENEW_DAYS)
    try:
        leaf = _certificate(certificate)
        _check_key(key, certificate, leaf)
        if leaf.not_valid_after_utc > until:
            return _serving(certificate, key, leaf, development=True)
    except ConfigError:
        pass
    try:
        _make(certificate, key, now)
    except OSError as error:
        raise ConfigError(f"{certificate.parent} cannot be written: {error.strerror}.") from None
    return _serving(certificate, key, _certificate(certificate), development=True)


def _serving(certificate: Path, key: Path, leaf: x509.Certificate, *, development: bool) -> Tls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError):
        raise ConfigError(f"{certificate} cannot be served with the key {key}.") from None
    return Tls(context, leaf.fingerprint(hashes.SHA256()).hex(), development)


def _certificate(path: Path) -> x509.Certificate:
    data = _read(path)
    try:
        return x509.load_pem_x509_certificates(data)[0]
    except ValueError:
        raise ConfigError(f"{path} holds no certificate in PEM form.") from None


def _check_key(path: Path, certificate: Path, leaf: x509.Certificate) -> None:
    data = _read(path)
    try:
        key = serialization.load_pem_private_key(data, None)
    except TypeError:
        raise ConfigError(
            f"{path} is encrypted; take the passphrase off: openssl pkey -in {path} -out key.pem"
        ) from None
    except ValueError:
        raise ConfigError(f"{path} holds no private key in PEM form.") from None
    if _public(key.public_key()) != _public(leaf.public_key()):
        raise ConfigError(f"The key {path} does not belong to the certificate {certificate}.")


def _public(key: object) -> bytes:
    form, encoding = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.Encoding.DER
    return key.public_bytes(encoding, form)  # type: ignore[attr-defined,no-any-return]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None


def _make(certificate: Path, key: Path, now: float) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Edgekeep development")])
    begin = datetime.datetime.fromtimestamp(now, datetime.UTC) - datetime.timedelta(hours=1)
    names: list[x509.GeneralName] = [x509.DNSName(one) for one in _NAMES]
    names += [x509.IPAddress(ip_address(one)) for one in _ADDRESSES]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(private, hashes.SHA256())
    )
    certificate.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    encoding = serialization.Encoding.PEM
    pem = private.private_bytes(
        encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(key, pem)
    write_private(certificate, made.public_bytes(encoding))
