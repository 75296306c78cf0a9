"""Mail servers on loopback: Dovecot, an SMTP server that stores what it takes, and one that misbehaves by script."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Self

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PASSWORD = "hemmelig"  # of every account
START_S = 10.0
MOST_MAILS = 400  # in one mailbox: its quota


def make_certificate(folder: Path, host: str = "127.0.0.1") -> Path:
    """A PEM file with a key and a certificate for ``host`` that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / f"{host}.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def wait_for(port: int) -> None:
    """Return when somebody listens on the port."""
    ends = time.monotonic() + START_S
    pause = threading.Event()
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > ends:
                raise
            pause.wait(0.02)


def dovecot_is_missing() -> str | None:
    """Why Dovecot cannot run here, None when it can."""
    if shutil.which("dovecot") is None:
        return "dovecot is not installed (Debian: dovecot-imapd dovecot-pop3d)"
    if os.geteuid() != 0:
        return "dovecot needs root to separate its processes"
    modules = Path("/usr/lib/dovecot")
    if not (modules / "imap").exists() or not (modules / "pop3").exists():
        return "dovecot's IMAP or POP3 server is not installed (Debian: dovecot-imapd dovecot-pop3d)"
    return None


_DOVECOT = """
base_dir = {folder}/run
state_dir = {folder}/state
instance_name = {name}
log_path = {folder}/dovecot.log
listen = 127.0.0.1
protocols = imap pop3
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{certificate}
auth_mechanisms = plain login
auth_failure_delay = 0
first_valid_uid = 1
mail_location = maildir:{folder}/mail/%u
mail_max_userip_connections = 50
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}/mail/%u
}}
protocol imap {{
  mail_plugins = quota imap_quota
}}
plugin {{
  quota = count:User quota
  quota_vsizes = yes
  quota_rule = *:messages={most}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  service_count = 0
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  service_count = 0
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
"""


class Dovecot:
    """IMAP and POP3 over Maildir folders that tests write into. Any user exists, all with the same password."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="dovecot-"))
        self._folder.chmod(0o755)
        self.mail = self._folder / "mail"
        self.mail.mkdir()
        shutil.chown(self.mail, "nobody", "nogroup")
        self.certificate = make_certificate(self._folder)
        self.imap, self.imaps, self.pop3, self.pop3s = free_ports(4)
        self._delivered = count(1)  # mails may come at the same moment
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        conf = self._folder / "dovecot.conf"
        ports = {"imap": self.imap, "imaps": self.imaps, "pop3": self.pop3, "pop3s": self.pop3s}
        conf.write_text(
            _DOVECOT.format(
                folder=self._folder,
                name=self._folder.name,
                certificate=self.certificate,
                password=PASSWORD,
                most=MOST_MAILS,
                **ports,
            )
        )
        self._process = subprocess.Popen(["dovecot", "-F", "-c", str(conf)], stderr=subprocess.DEVNULL)
        wait_for(self.pop3s)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            master = psutil.Process(self._process.pid)
            ours = [master, *master.children(recursive=True)]
            self._process.terminate()
            _, left = psutil.wait_procs(ours, timeout=0.3)
            for process in left:  # it would wait for sessions that a test left open
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self._process.wait(10)
        shutil.rmtree(self._folder, ignore_errors=True)

    def deliver(self, user: str, content: bytes) -> None:
        """Put a mail into the user's inbox as a delivery agent does."""
        maildir = self.mail / user
        for name in (maildir, maildir / "tmp", maildir / "new", maildir / "cur"):
            if not name.exists():  # Dovecot makes them too, when somebody logs in
                name.mkdir(exist_ok=True)
                shutil.chown(name, "nobody", "nogroup")
        name = f"{time.time_ns() // 1_000_000_000}.M{next(self._delivered):06}P{os.getpid()}.loopback,S={len(content)}"
        self.put(maildir / "tmp" / name, content)
        (maildir / "tmp" / name).rename(maildir / "new" / name)

    def put(self, file: Path, content: bytes) -> None:
        """Write a file that Dovecot may read."""
        file.write_bytes(content)
        shutil.chown(file, "nobody", "nogroup")

    def held(self, user: str) -> list[bytes]:
        """The mails in the user's inbox, on disk."""
        files = [*(self.mail / user / "new").iterdir(), *(self.mail / user / "cur").iterdir()]
        return [file.read_bytes() for file in sorted(files, key=lambda file: file.name)]

    def renumber(self, user: str) -> None:
        """Give the mailbox another UIDVALIDITY, with the same UIDs in it."""
        uidlist = self.mail / user / "dovecot-uidlist"
        head, _, rest = uidlist.read_text().partition("\n")
        words = [f"V{int(word[1:]) + 1}" if word.startswith("V") else word for word in head.split(" ")]
        uidlist.write_text(" ".join(words) + "\n" + rest)
        for index in (self.mail / user).glob("dovecot.index*"):
            index.unlink()


@dataclass
class Taken:
    """One mail that the SMTP server took."""

    sender: str
    receiver: str
    content: bytes


class Sink:
    """An SMTP server (aiosmtpd) that keeps what it takes. ``refuse`` maps a receiver to the reply it gets."""

    def __init__(self, certificate: Path, *, tls_at_once: bool = False, login: bool = True, size: int = 60_000_000):
        self.taken: list[Taken] = []
        self.refuse: dict[str, str] = {}
        self.sessions: set[int] = set()
        self.on_mail: Callable[[Taken], None] | None = None
        self.certificate = certificate
        self._options: dict[str, Any] = {"data_size_limit": size, "server_hostname": "loopback"}
        if login:
            self._options |= {"auth_required": True, "authenticator": self._authenticate}
        context = server_context(certificate)
        if tls_at_once:
            self._options |= {"ssl_context": context, "auth_require_tls": False}
        else:
            self._options |= {"tls_context": context, "require_starttls": True}

    def _authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, auth: Any) -> Any:
        from aiosmtpd.smtp import AuthResult

        return AuthResult(success=bytes(auth.password) == PASSWORD.encode(), handled=False)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        mail = Taken(envelope.mail_from, envelope.rcpt_tos[0], envelope.original_content)
        self.sessions.add(id(session))
        if self.on_mail is not None:
            self.on_mail(mail)
        self.taken.append(mail)
        return f"250 2.0.0 OK: queued as {len(self.taken)}"

    def __enter__(self) -> Self:
        from aiosmtpd.controller import Controller

        logging.getLogger("mail.log").setLevel(logging.ERROR)
        (self.port,) = free_ports(1)
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, **self._options)
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()


class Wire:
    """The server's end of one connection, for a script. A client that leaves ends the script."""

    def __init__(self, sock: socket.socket, stopping: threading.Event) -> None:
        self._sock = sock
        self._file = sock.makefile("rb")
        self._stopping = stopping
        self.heard: list[bytes] = []

    def say(self, *lines: str | bytes) -> None:
        for line in lines:
            self._sock.sendall(line if isinstance(line, bytes) else line.encode() + b"\r\n")

    def hear(self) -> bytes:
        line = self._file.readline()
        if not line:
            raise ConnectionError
        self.heard.append(line.strip())
        return line

    def hear_until_dot(self) -> bytes:
        content = b""
        while (line := self._file.readline()) != b".\r\n":
            if not line:
                raise ConnectionError
            content += line
        return content

    def dialogue(self, *answers: str | bytes) -> None:
        """After each command one of the answers."""
        for answer in answers:
            self.hear()
            self.say(answer)

    def tagged(self, *answers: str) -> None:
        """After each IMAP command one of the answers; ``{}`` stands for the command's tag, | for a line end."""
        for answer in answers:
            tag = self.hear().split(b" ")[0].decode()
            self.say(
                *(f"{line} done" if line == f"{tag} OK" else line for line in answer.replace("{}", tag).split("|"))
            )

    def silence(self) -> None:
        """Say nothing until the test is over."""
        self._stopping.wait(20)

    def drip(self, content: bytes) -> None:
        for at in range(len(content)):
            self._sock.sendall(content[at : at + 1])
            if self._stopping.wait(0.02):
                return

    def secure(self, certificate: Path) -> None:
        self._sock = server_context(certificate).wrap_socket(self._sock, server_side=True)
        self._file = self._sock.makefile("rb")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()


Play = Callable[[Wire], None]


class Scripted:
    """A server that plays one script per connection; the last one serves all that follow."""

    def __init__(self, *plays: Play) -> None:
        self._plays = deque(plays)
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.wires: list[Wire] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            play = self._plays.popleft() if len(self._plays) > 1 else self._plays[0]
            wire = Wire(sock, self._stopping)
            self.wires.append(wire)
            thread = threading.Thread(target=self._play, args=(play, wire), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _play(self, play: Play, wire: Wire) -> None:
        with contextlib.suppress(OSError):  # clients that hang up are what these tests are about
            play(wire)
        wire.close()

    @property
    def heard(self) -> list[bytes]:
        return [line for wire in self.wires for line in wire.heard]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for wire in self.wires:
            wire.close()
        for thread in self._threads:
            thread.join(5)
