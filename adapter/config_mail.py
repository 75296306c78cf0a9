"""Settings of the ebXML road (mail servers, HTTP, agreements), and the reference to a secret that they need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from adapter.errors import SettingsError

# National mail domains (ebXML digest 1.4) by environment; others are not judged.
MAIL_DOMAINS = {"edi.nhn.no": "production", "testedi.nhn.no": "test", "samsvar.nhn.no": "test"}
HEALTH_PATH = "/health"  # of the receiving endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """Where a secret is: the name of an environment variable, or a file readable by us alone."""

    env: str | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServerSettings:
    """A mail server and our account there. Times in seconds: to connect, between two pieces of an answer, per call."""

    host: str
    port: int | None = None  # None: the standard's port
    security: str = "tls"  # tls | starttls | none (on loopback only)
    user: str | None = None
    password: Secret = Secret()
    ca_file: str | None = None  # PEM; None: the authorities of the system
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 30.0
    total_timeout_s: float = 300.0
    mail_limit_bytes: int = 51_200_000  # NHN's limit for a whole mail


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpSettings(MailServerSettings):
    """Mail out. ``accept_timeout_s`` is the wait for the answer to a whole mail (RFC 5321 4.5.3.2.6 says 600)."""

    security: str = "starttls"
    accept_timeout_s: float = 120.0
    helo_name: str = "localhost"
    idle_s: float = 20.0  # a connection at rest for longer is not used again
    mails_per_connection: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ImapSettings(MailServerSettings):
    """Mail in by IMAP. ``mark`` is the keyword or flag that stored mails get."""

    mailbox: str = "INBOX"
    mark: str = "AdapterTaken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pop3Settings(MailServerSettings):
    """Mail in by POP3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSettings:
    """The mail road: our EDI address, a server out, a mailbox in (IMAP or POP3)."""

    address: str
    smtp: SmtpSettings
    imap: ImapSettings | None = None
    pop3: Pop3Settings | None = None
    delete_after_h: float = 72.0  # grace between storing a mail and deleting it in the mailbox


@dataclass(frozen=True, slots=True, kw_only=True)
class EbmsHttpSettings:
    """The ebXML road over HTTP, our calls. Times in seconds; size of an answer in bytes.

    ``certificate`` and ``key`` (PEM) are shown to partners that ask who calls.
    """

    ca_file: str | None = None
    certificate: str | None = None
    key: str | None = None
    key_passphrase: Secret = Secret()
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    total_timeout_s: float = 120.0
    response_limit_bytes: int = 51_200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveSettings:
    """The endpoint for partners that call us over HTTP. Times in seconds; sizes in bytes of a request's body.

    It binds ``host`` on loopback only, unless ``certificate`` (PEM) and ``key`` are given or ``behind_proxy`` says that
    a proxy of ours ends TLS in front of it (P19). ``port`` 0 is any free one. With ``client_ca`` (PEM) only callers
    whose certificate comes from one of its authorities are heard.
    """

    host: str = "127.0.0.1"
    port: int = 8443
    path: str = "/ebxml"
    certificate: str | None = None
    key: str | None = None
    key_passphrase: Secret = Secret()
    client_ca: str | None = None
    behind_proxy: bool = False
    body_limit_bytes: int = 51_200_000
    idle_timeout_s: float = 30.0  # for the head of a request, between two pieces of its body, and at rest
    total_timeout_s: float = 300.0  # for the body of a request
    most_requests: int = 8  # at once; others are told to come back
    most_connections: int = 64  # at once; others are closed


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementSettings:
    """CPA files: every ``*.xml`` of ``directory``, read again when one changes and at least every ``refresh_h`` hours.

    ``clock_skew_s``: how far a partner's time stamp may be from ours before a person is told. ``register_url``: the
    register's own agreement service, asked with ``register_scope``; what it gives is kept below ``directory``.
    """

    directory: str | None = None
    register_url: str | None = None  # with the path of the version, as https://…/v2/
    register_scope: str = "nhn:cppa/access-with-dpop"
    refresh_h: float = 12.0
    clock_skew_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pkcs11Settings:
    """A key on a smart card or HSM. ``module`` is the driver's shared library; ``token`` its label or serial number."""

    module: str
    token: str
    key_label: str | None = None
    key_id: str | None = None  # hexadecimal
    pin: Secret = Secret()
    certificate: str | None = None  # a file (PEM, DER); None: the certificate lies on the token


def key_fault(pkcs12: str | None, passphrase: Secret, pkcs11: Pkcs11Settings | None) -> tuple[str, str] | None:
    """What is wrong with where a key is, and the cure; None when nothing is."""
    if (pkcs12 is None) == (pkcs11 is None):
        return "a key is in a PKCS#12 file or on a card", "keep one of pkcs12 and pkcs11"
    if pkcs11 is None:
        return None
    if passphrase != Secret():
        return "the passphrase is a PKCS#12 file's", "put the card's PIN into pkcs11.pin"
    try:
        bytes.fromhex(pkcs11.key_id or "")
    except ValueError:
        return "key_id is hexadecimal", "write it as the card's program shows it"
    return None


def mail_servers(mail: MailSettings | None, place: str = "mail") -> list[tuple[str, MailServerSettings]]:
    """Each mail server of the settings with its place."""
    servers = [] if mail is None else [("smtp", mail.smtp), ("imap", mail.imap), ("pop3", mail.pop3)]
    return [(f"{place}.{name}", server) for name, server in servers if server is not None]


def check_mail(common: MailSettings | None, own: Mapping[str, MailSettings | None], environment: str) -> None:
    """Raise SettingsError for mail that cannot work, or by which tenants would meet in one mailbox (P22, P23).

    ``own`` is by the tenants' names. Two tenants may share all of their mail, or none of it.
    """
    named = [("mail", common), *((f"tenant {name} mail", mail) for name, mail in own.items())]
    boxes: dict[object, MailSettings] = {}
    for where, mail in named:
        if mail is None:
            continue
        server = mail.imap or mail.pop3
        if server is None or (mail.imap is not None and mail.pop3 is not None):
            cure = "keep one of [mail.imap] and [mail.pop3]"
            raise SettingsError("mail comes in by imap or by pop3", where=where, cure=cure)
        if MAIL_DOMAINS.get(mail.address.rpartition("@")[2].lower(), environment) != environment:
            raise SettingsError("an EDI address of another environment", code="SETTINGS.MIX", where=f"{where}.address")
        box = (server.host.lower(), server.user, mail.imap.mailbox if mail.imap is not None else "INBOX")
        for taken in (box, mail.address.lower()):
            if boxes.setdefault(taken, mail) != mail:
                cure = "give each its own, or let them share all mail settings"
                raise SettingsError("two mail settings have one mailbox or address", where=where, cure=cure)


def check_receive(receive: ReceiveSettings) -> None:
    """Raise SettingsError for an endpoint that would be open to others without TLS (P19), or that nobody can reach."""
    check_pair(receive, "receive")
    if receive.client_ca is not None and receive.certificate is None:
        cure = "give certificate and key; behind a proxy it is the proxy that asks for certificates"
        raise SettingsError("only over TLS can a caller show a certificate", where="receive.client_ca", cure=cure)
    if not (receive.behind_proxy or receive.certificate is not None or _on_loopback(receive.host)):
        cure = "set certificate and key, or behind_proxy = true when a proxy of yours ends TLS, or host = '127.0.0.1'"
        text = "the receiving endpoint binds loopback only, unless TLS or a proxy is declared"
        raise SettingsError(text, code="P19.BIND", where="receive.host", cure=cure)
    if receive.port > 65_535:
        raise SettingsError("a port is at most 65535", where="receive.port")
    if not receive.path.startswith("/") or receive.path in ("/", HEALTH_PATH) or set(receive.path) & set("?#% {}"):
        cure = "write it as '/ebxml'"
        raise SettingsError("not a path for the receiving endpoint", where="receive.path", cure=cure)


def check_pair(section: ReceiveSettings | EbmsHttpSettings, where: str) -> None:
    """Raise SettingsError for a certificate without its key, or the other way round."""
    if (section.certificate is None) != (section.key is None):
        missing = "key" if section.key is None else "certificate"
        raise SettingsError("TLS needs a certificate and its key", where=f"{where}.{missing}", cure="give both")


def _on_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name: others may resolve to anything, and to something else tomorrow
        return host == "localhost"
