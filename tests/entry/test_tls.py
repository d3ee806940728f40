"""TLS on the host: the operator's certificate, and the one for development."""

import asyncio
import datetime
import json
import re
import ssl
import subprocess
import warnings as warnings_module
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import ClientSession, TCPConnector
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tests.cli.conftest import run_edgekeep, running_server
from tests.support.ports import free_port
from tests.support.running_host import SECRETS
from tests.support.waiting import PATIENCE
from worker.entry.config import ConfigError
from worker.entry.host import Listen, warnings
from worker.entry.tls import development, load
from worker.settings import Settings
from worker.wire.safe_headers import safe_headers

NOW = datetime.datetime.now(datetime.UTC).timestamp()
_DAY = 86_400
_PEM = serialization.Encoding.PEM


def pair(
    folder: Path, *, begins: float = -1, days: float = 30, password: bytes = b""
) -> tuple[Path, Path]:
    """Write a certificate for app.example and its key; *begins* in days from now."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app.example")])
    start = datetime.datetime.fromtimestamp(NOW, datetime.UTC) + datetime.timedelta(begins)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("app.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    closed: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        closed = serialization.BestAvailableEncryption(password)
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(_PEM))
    paths[1].write_bytes(key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, closed))
    return paths


def test_a_good_pair_is_served_from_tls_1_2_on(tmp_path: Path) -> None:
    """Its fingerprint is told; further certificates of the chain do not matter for that."""
    certificate, key = pair(tmp_path)
    other, _ = pair(tmp_path / "other")
    alone = load(certificate, key, NOW)
    certificate.write_bytes(certificate.read_bytes() + other.read_bytes())
    tls = load(certificate, key, NOW)
    assert tls.context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert tls.fingerprint == alone.fingerprint
    assert not tls.development


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("no certificate", "cert.pem cannot be read: No such file"),
        ("no key", "key.pem cannot be read: No such file"),
        ("text", "cert.pem holds no certificate in PEM form"),
        ("key text", "key.pem holds no private key in PEM form"),
        ("swapped", "key.pem holds no certificate in PEM form"),
        ("mismatch", "key.pem does not belong to the certificate"),
        ("another kind", "key.pem does not belong to the certificate"),
        ("encrypted", "key.pem is encrypted"),
        ("expired", "cert.pem expired on 20"),
        ("too early", "cert.pem holds only from 20"),
        ("directory", "cert.pem cannot be read: Is a directory"),
    ],
)
def test_what_is_wrong_with_the_files_is_said(tmp_path: Path, fault: str, sentence: str) -> None:
    """Which file, what is wrong, and nothing of the key."""
    begins = {"expired": -60.0, "too early": 2.0}.get(fault, -1.0)
    certificate, key = pair(
        tmp_path, begins=begins, password=b"secret" if fault == "encrypted" else b""
    )
    if fault in ("no certificate", "directory"):
        certificate.unlink()
    if fault == "directory":
        certificate.mkdir()
    if fault == "no key":
        key.unlink()
    if fault == "text":
        certificate.write_text("CANARY")
    if fault == "key text":
        key.write_text("CANARY")
    if fault == "swapped":
        certificate, key = key, certificate
    if fault == "mismatch":
        key.write_bytes(pair(tmp_path / "other")[1].read_bytes())
    if fault == "another kind":
        private = rsa.generate_private_key(65537, 2048)
        form, closed = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        key.write_bytes(private.private_bytes(_PEM, form, closed))
    with pytest.raises(ConfigError) as refused:
        load(certificate, key, NOW)
    assert sentence in str(refused.value)
    assert "CANARY" not in str(refused.value)


def test_the_development_certificate_stays_until_it_must_go(tmp_path: Path) -> None:
    """Made once, private, for this machine; anew when it soon expires or is damaged."""
    first = development(tmp_path, NOW)
    folder = tmp_path / "tls"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in folder.iterdir()} == {"certificate.pem", "key.pem"}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())
    assert development(tmp_path, NOW + 300 * _DAY).fingerprint == first.fingerprint
    renewed = development(tmp_path, NOW + 340 * _DAY)
    assert renewed.fingerprint != first.fingerprint
    (folder / "key.pem").write_text("damaged")
    again = development(tmp_path, NOW)
    assert again.fingerprint not in (first.fingerprint, renewed.fingerprint)
    (folder / "certificate.pem").unlink()
    assert development(tmp_path, NOW).fingerprint != again.fingerprint
    leaf = x509.load_pem_x509_certificate((folder / "certificate.pem").read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days < 398


@dataclass
class Secure:
    """A child that serves HTTPS."""

    url: str
    port: int
    state: Path

    def verb(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run `edgekeep` on it."""
        return run_edgekeep(*words, "--state", self.state)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """A host with the development certificate."""
    state = tmp_path_factory.mktemp("secure") / "state"
    with running_server(state, "--tls") as child:
        yield Secure(f"https://localhost:{child.port}", child.port, state)


def trusting(secure: Secure) -> ClientSession:
    """Return a client that trusts the development certificate and nothing else."""
    context = ssl.create_default_context(cafile=secure.state / "tls" / "certificate.pem")
    return ClientSession(connector=TCPConnector(ssl=context))


def console_link(secure: Secure) -> str:
    """Return the link that opens the console, as its verb prints it, by the name that is asked."""
    return secure.verb("console").stdout.strip().replace("127.0.0.1", "localhost")


async def test_browsers_that_trust_the_certificate_are_answered(secure: Secure) -> None:
    """By name and by address; sockets too; and no HSTS, which would bind all of localhost."""
    async with trusting(secure) as session:
        for name in ("localhost", "127.0.0.1"):
            async with session.get(f"https://{name}:{secure.port}/healthz") as answer:
                assert answer.status == 200
                assert "Strict-Transport-Security" not in answer.headers
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
        token = secure.verb("token", "--scope", "profiles:import").stdout.split()[-1]
        query = f"id=imp_20261121080000_aaaaaa&token={token}"
        async with session.ws_connect(f"{secure.url}/api/profiles/import/progress?{query}") as ws:
            assert (await ws.receive_json())["event"] == "waiting"
        async with session.get(console_link(secure), headers={"Origin": secure.url}) as page:
            assert page.status == 200


async def test_forms_of_the_console_work_over_tls(secure: Secure) -> None:
    """A change is made from https; the cookie is Secure, under a name that plain HTTP lacks."""
    form = f"{secure.url}/_console/kv/PROFILES_KV/put"
    async with trusting(secure) as session:
        async with session.get(console_link(secure), allow_redirects=False) as opened:
            [key] = opened.cookies.values()
            assert key.key == f"__Secure-edgekeep_key_{secure.port}"
            assert (key["secure"], key["samesite"], key["path"]) == (True, "Strict", "/_console")
        async with session.get(form) as page:
            found = re.search(r'name="csrf" value="([^"]+)"', await page.text())
            assert found is not None
            cookie = page.cookies["__Secure-edgekeep_console"]
            assert (cookie["secure"], cookie["samesite"]) == (True, "Strict")
        fields = {"csrf": found[1], "key": "over-tls", "value": "v", "kind": "text"}
        for scheme, status in (("http", 403), ("https", 303)):
            origin = f"{scheme}://localhost:{secure.port}"
            async with session.post(
                form, data=fields, headers={"Origin": origin}, allow_redirects=False
            ) as answer:
                assert answer.status == status


async def test_plain_http_and_old_versions_are_not_answered(secure: Secure) -> None:
    """Nothing but a TLS record comes back, and the host goes on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", secure.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"HTTP/1.1" not in await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings_module.catch_warnings():
        warnings_module.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", secure.port, ssl=old)
    async with trusting(secure) as session, session.get(f"{secure.url}/healthz") as answer:
        assert answer.status == 200


def test_verbs_know_their_host_by_its_certificate(secure: Secure, tmp_path: Path) -> None:
    """Without a word from the user; a stranger with another certificate is not spoken to."""
    about = json.loads((secure.state / "host.json").read_text())
    assert about["url"] == f"https://127.0.0.1:{secure.port}"
    assert len(about["fingerprint"]) == 64
    for words in (("profiles", "count"), ("profiles", "count", "--url", secure.url)):
        done = secure.verb(*words)
        assert (done.returncode, done.stdout.strip()) == (0, "0"), done.stderr
    assert secure.verb("cron", "run", "43 * * * *").returncode == 0
    stranger = run_edgekeep("profiles", "count", "--state", tmp_path, "--url", secure.url)
    assert stranger.returncode != 0
    assert "does not show a certificate that is trusted" in stranger.stderr
    (tmp_path / "host.json").write_text(json.dumps({**about, "fingerprint": "0" * 64}))
    forged = run_edgekeep("profiles", "count", "--state", tmp_path, "--url", secure.url)
    assert "does not show a certificate that is trusted" in forged.stderr


def test_an_operators_certificate_is_served(tmp_path: Path) -> None:
    """Whatever name stands in it, the verbs of this machine find their host."""
    certificate, key = pair(tmp_path / "pair")
    words = ("--tls-cert", str(certificate), "--tls-key", str(key))
    with running_server(tmp_path / "state", *words) as child:
        done = run_edgekeep("profiles", "count", "--state", child.state)
        assert (done.returncode, done.stdout.strip()) == (0, "0"), done.stderr
        assert not (child.state / "tls").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--tls-cert", "cert.pem"), "Give --tls-cert and --tls-key together"),
        (("--tls-key", "key.pem"), "Give --tls-cert and --tls-key together"),
        (("--tls", "--tls-cert", "a", "--tls-key", "b"), "or --tls alone"),
        (("--tls-cert", "nowhere.pem", "--tls-key", "b"), "nowhere.pem cannot be read"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    """Before anything starts."""
    state = tmp_path / "state"
    done = run_edgekeep("dev", *words, "--state", state, "--port", str(free_port()))
    assert (done.returncode, sentence in done.stderr) == (2, True), done.stderr
    assert not (state / "host.json").exists()


def test_hsts_is_for_real_names_only(tmp_path: Path) -> None:
    """In production always; with a certificate where others can reach it; never on localhost."""
    certificate, key = pair(tmp_path)
    own, made = load(certificate, key, NOW), development(tmp_path, NOW)
    assert Listen("192.168.1.7", 443, own).strict
    assert not Listen("127.0.0.1", 443, own).strict
    assert not Listen("192.168.1.7", 443, made).strict
    assert not Listen("192.168.1.7", 443).strict
    settings = Settings.load(SECRETS)
    assert "Strict-Transport-Security" in safe_headers(settings, tls=True)
    assert "Strict-Transport-Security" not in safe_headers(settings)


@pytest.mark.parametrize(
    ("host", "environment", "proxies", "warned"),
    [
        ("127.0.0.1", "production", "", ""),
        ("127.0.0.1", "development", "", ""),
        ("0.0.0.0", "production", "", "passwords and tokens cross the network unencrypted"),
        ("0.0.0.0", "production", "10.0.0.1", ""),
        ("192.168.1.7", "development", "", "can be reached from other machines"),
        ("::", "production", "", "http://[::]:8788 is plain HTTP"),
    ],
)
def test_plain_http_for_others_is_warned_of(
    tmp_path: Path, host: str, environment: str, proxies: str, warned: str
) -> None:
    """Unless a proxy in front is named, or there is TLS."""
    values = {**SECRETS, "ENVIRONMENT": environment, "TRUSTED_PROXIES": proxies}
    settings = Settings.load({**values, "SMTP_URL": "smtps://mail.example.org:465"})
    said = " ".join(warnings(settings, Listen(host, 8788)))
    assert warned in said
    assert bool(said) is bool(warned)
    assert not list(warnings(settings, Listen(host, 8788, development(tmp_path, NOW))))
