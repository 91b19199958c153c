"""Unreachable: addresses at which a request never arrives, each for a reason of its own."""

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from providers.fault_table import Unreachable

__all__ = ["address", "self_signed"]


@asynccontextmanager
async def address(how: Unreachable, folder: Path) -> AsyncIterator[str]:
    """Hold an address, host and port, and its scheme; whatever arrives there is no request that can be read."""
    if how == "no-address":
        yield "http://provider.invalid"
    elif how == "link-local":
        yield "http://169.254.169.254"
    elif how in ("refused", "silent"):
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            if how == "silent":
                held.listen()  # takes the connection, and says nothing to its TLS
            yield f"{'https' if how == 'silent' else 'http'}://127.0.0.1:{held.getsockname()[1]}"
    else:
        context = None
        if how == "untrusted":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self_signed(folder))
        async with await asyncio.start_server(_plain, "127.0.0.1", 0, ssl=context) as server:
            yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer in plain HTTP, whatever was said."""
    await reader.read(10)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


def self_signed(folder: Path) -> Path:
    """Write a key and a certificate for localhost that nobody vouches for; return the file of both."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    plain = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "server.pem"
    path.write_bytes(plain + certificate.public_bytes(serialization.Encoding.PEM))
    return path
