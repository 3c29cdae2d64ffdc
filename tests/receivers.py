"""Real servers on loopback that remember what they were sent: HTTP, TLS, and ones that misbehave."""

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Got:
    """One request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What the server says; `drip` seconds pass before each byte of the body."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    wait: float = 0
    drip: float = 0


class Receiver:
    """An HTTP server that answers `answer` (changed at will) and keeps what it got."""

    def __init__(self, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.got: list[Got] = []
        self.answer: Answer | Callable[[Got], Answer] = Answer()
        self.server_names: list[str | None] = []
        self.ending = threading.Event()
        self._server = _Server(host, self)
        self.port: int = self._server.server_address[1]
        if tls:
            tls.sni_callback = lambda _, name, __: self.server_names.append(name)
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)

    @contextlib.contextmanager
    def serving(self) -> "Iterator[Receiver]":
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.ending.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join(5)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, receiver: Receiver) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.receiver = receiver
        super().__init__((host, 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients of these tests hang up on purpose


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _serve(self) -> None:
        receiver = self.server.receiver
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        got = Got(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        receiver.got.append(got)
        answer = receiver.answer(got) if callable(receiver.answer) else receiver.answer
        receiver.ending.wait(answer.wait)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.flush()
        for byte in [answer.body[i : i + 1] for i in range(len(answer.body))] if answer.drip else [answer.body]:
            if receiver.ending.wait(answer.drip):
                return
            self.wfile.write(byte)
            self.wfile.flush()

    do_GET = do_POST = do_PUT = _serve

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def dripping_headers(every: float) -> Iterator[int]:
    """The port of a server that sends the head of its answer one byte at a time and never ends it."""
    ending = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                    while not ending.wait(every):
                        connection.sendall(b"a")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            ending.set()
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            thread.join(5)


@dataclass(frozen=True)
class Certificates:
    """A certificate for `names`, signed by itself, and the contexts of both sides."""

    server: ssl.SSLContext
    client: ssl.SSLContext


def certificates(folder: Path, *names: str) -> Certificates:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([_alternative(each) for each in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    client = ssl.create_default_context()
    client.load_verify_locations(cadata=made.public_bytes(serialization.Encoding.PEM).decode())
    return Certificates(server, client)


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def eventually(holds: Callable[[], bool], *, seconds: float = 30) -> bool:
    """Whether it came true within the time."""
    give_up = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.01)
    return True
