"""The connection goes to the checked address; the certificate must be the name's all the same."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from providers.guard import TargetGuard
from providers.http import RequestFailed, make_client, send
from tests.providers.server import Server, answering_with

NAME = "provider.example"


class Here(TargetGuard):
    """Finds every name on this machine."""

    async def address_of(self, host: str, port: int) -> str:
        return "127.0.0.1"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed one for the name, with its key in the same file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    file = tmp_path_factory.mktemp("tls") / "provider.pem"
    file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + made.public_bytes(pem))
    return file


@pytest.fixture
def server(certificate: Path) -> Server:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    return Server(answering_with(b"{}"), tls=tls)


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> None:
    def context(**_: object) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(certificate))

    monkeypatch.setattr(httpx, "create_ssl_context", context)


@pytest.mark.usefixtures("trusted")
async def test_name_is_asked_for_and_verified_although_an_address_is_connected_to(server: Server) -> None:
    async with server, make_client(Here()) as client:
        answer = await send(client, "POST", f"https://{NAME}:{server.port}/token", data={"a": "b"})
    assert answer.status == 200
    assert f"\r\nHost: {NAME}:{server.port}\r\n".encode() in server.seen[0]


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("host", ["another.example", "127.0.0.1"])
async def test_certificate_of_another_name_gets_no_secret(server: Server, host: str) -> None:
    async with server, make_client(Here()) as client:
        with pytest.raises(RequestFailed) as caught:
            await send(client, "POST", f"https://{host}:{server.port}/token", data={"a": "b"})
    assert not caught.value.sent and server.seen == []


async def test_certificate_that_nobody_vouches_for_gets_no_secret(server: Server) -> None:
    async with server, make_client(Here()) as client:
        with pytest.raises(RequestFailed) as caught:
            await send(client, "POST", f"https://{NAME}:{server.port}/token", data={"a": "b"})
    assert not caught.value.sent and server.seen == []


async def test_environment_cannot_vouch_for_it(
    monkeypatch: pytest.MonkeyPatch, certificate: Path, server: Server
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with server, make_client(Here()) as client:
        with pytest.raises(RequestFailed):
            await send(client, "POST", f"https://{NAME}:{server.port}/token", data={"a": "b"})
    assert server.seen == []
