"""Typed settings from TOML. Paths are relative to the file; secrets are references (environment or file), never values.

An unknown key is an error that names its path and the nearest known key. ``environment`` is mandatory and everything
that carries one must agree with it (P22).
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import adapter.shapes as shapes
from adapter.config_mail import (
    AgreementSettings,
    EbmsHttpSettings,
    MailServerSettings,
    MailSettings,
    ReceiveSettings,
    check_mail,
    check_pair,
    check_receive,
    key_fault,
    mail_servers,
)
from adapter.config_mail import ImapSettings as ImapSettings
from adapter.config_mail import Pkcs11Settings as Pkcs11Settings
from adapter.config_mail import Pop3Settings as Pop3Settings
from adapter.config_mail import Secret as Secret
from adapter.config_mail import SmtpSettings as SmtpSettings
from adapter.errors import InputError, SettingsError


class Environment(StrEnum):
    TEST = "test"
    PRODUCTION = "production"


class Revocation(StrEnum):
    REQUIRED = "required"
    WHEN_REACHABLE = "when_reachable"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftwareSettings:
    """P29: names and versions of the software, told to every partner (HITS 1210:2018)."""

    fagsystem: str
    fagsystem_version: str
    mellomvare: str
    mellomvare_version: str
    msh: str
    msh_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """``url`` is an SQLAlchemy URL; a relative SQLite path is relative to the settings file.

    ``unverified_max_bytes`` bounds what is held of ebXML senders that could not be verified; beyond it only partners'
    own messages are taken. ``keep_unverified_days`` is their retention, None: that of everything else.
    """

    url: str = "sqlite:///adapter.db"
    busy_wait_s: float = 10.0
    low_water_bytes: int = 500_000_000
    keep_bytes_days: int | None = None  # None: nothing is ever deleted (P28)
    unverified_max_bytes: int = 1_000_000_000
    keep_unverified_days: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySettings:
    """A PKCS#12 file, or a key on a card or HSM. ``owner`` says whose key it is (P14)."""

    pkcs12: str | None = None
    passphrase: Secret = field(default_factory=Secret)
    pkcs11: Pkcs11Settings | None = None
    owner: str = "company"  # company | person
    environment: Environment | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HelseIdSettings:
    """HelseID machine client of one tenant. ``key`` is a private JWK file with ``alg`` and ``kid``."""

    issuer: str
    client_id: str
    key: str
    next_key: str | None = None
    form: str = "single"  # single | single-child | multi | multi-child (n 2.3)
    scope: str = "nhn:msh/api"
    audience: str = "nhn:msh"


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantSettings:
    """One organisation that we act for (P23). ``her_ids`` are its level 2 addresses that we own."""

    name: str
    organisation_number: str
    child_number: str | None = None
    her_ids: tuple[int, ...]
    helseid: HelseIdSettings | None = None
    sign_with: str | None = None
    decrypt_with: tuple[str, ...] = ()  # keys that open what partners encrypt for us; old ones stay beside (P27)
    types_elsewhere: tuple[str, ...] = ()
    listen_only: bool = False
    mail: MailSettings | None = None  # its own EDI address and mailbox; None: the common [mail]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edi20Settings:
    """The EDI 2.0 REST API. Times in seconds; sizes in bytes of the JSON body."""

    base_url: str
    source_system: str
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0
    total_timeout_s: float = 60.0
    body_limit_bytes: int = 35_000_000
    response_limit_bytes: int = 60_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterSettings:
    """The address register: a file, and the REST API when ``base_url`` is set."""

    file: str = "addressbook.json"
    base_url: str | None = None
    scope: str = "nhn:cp-api/access-v2-dpop"
    cache_h: float = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustSettings:
    """Roots we accept, how revocation is asked, and who persons are (P16, P17)."""

    roots: tuple[str, ...] = ()
    revocation: Revocation = Revocation.WHEN_REACHABLE
    revocation_hosts: tuple[str, ...] = ()
    revocation_wait_h: float = 96.0
    persons: Mapping[str, str] = field(default_factory=dict)  # "issuer|serial" -> fnr
    environment: Environment | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptSettings:
    via: str = "api"  # api | document (P10)
    reject_addressing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundSettings:
    schema: str = "tolerant"  # tolerant | strict (P11)
    accepts: tuple[str, ...] = ()  # empty: everything the adapter can treat
    auto_sorting: bool = False
    handover: str = "pull"  # pull | folder (callback is set in code, P7)
    folder: str | None = None
    lease_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OverdueLimit:
    """Hours without a transport confirmation, hours without an AppRec (P9)."""

    transport_h: float
    apprec_h: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OverdueSettings:
    emergency: OverdueLimit = OverdueLimit(transport_h=0.25, apprec_h=1.0)  # Priority 0
    urgent: OverdueLimit = OverdueLimit(transport_h=4.0, apprec_h=24.0)  # Priority 3 and PK
    normal: OverdueLimit = OverdueLimit(transport_h=24.0, apprec_h=96.0)
    types: Mapping[str, OverdueLimit] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    poll_every_s: float = 60.0
    dispatch_every_s: float = 5.0
    status_every_s: float = 30.0
    overdue_every_s: float = 60.0
    housekeeping_every_s: float = 3600.0
    unknown_wait_s: float = 120.0
    stop_calls_within_s: float = 8.0
    batch: int = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSettings:
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaSettings:
    directory: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings. ``base`` is the folder that relative paths start from."""

    environment: Environment
    software: SoftwareSettings
    tenant: tuple[TenantSettings, ...]
    base: str = "."
    store: StoreSettings = StoreSettings()
    keys: Mapping[str, KeySettings] = field(default_factory=dict)
    edi20: Edi20Settings | None = None
    mail: MailSettings | None = None
    ebms_http: EbmsHttpSettings | None = None
    receive: ReceiveSettings | None = None
    agreements: AgreementSettings = field(default_factory=AgreementSettings)
    register: RegisterSettings = RegisterSettings()
    trust: TrustSettings = TrustSettings()
    receipts: ReceiptSettings = ReceiptSettings()
    inbound: InboundSettings = InboundSettings()
    overdue: OverdueSettings = OverdueSettings()
    worker: WorkerSettings = WorkerSettings()
    alert: AlertSettings = AlertSettings()
    schemas: SchemaSettings = SchemaSettings()
    language: str = "nb"

    def path(self, relative: str) -> Path:
        """A path of the settings, made absolute from the settings file's folder."""
        return (Path(self.base) / relative).expanduser()


def read_settings(plain: Mapping[str, object], base: Path) -> Settings:
    """Settings from parsed TOML; raises SettingsError naming the key's path."""
    try:
        settings = shapes.read(Settings, {**plain, "base": str(base)}, "settings")
    except InputError as error:
        raise SettingsError(error.text, code="SETTINGS.KEY", where=error.where, cure=error.cure) from None
    _check(settings)
    return settings


def load_settings(path: str | Path) -> Settings:
    """Read a TOML file; raises SettingsError for a missing, malformed or contradictory one."""
    file = Path(path)
    try:
        plain = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        cure = "copy config/adapter.toml and set ADAPTER_CONFIG"
        raise SettingsError("there is no settings file", where=str(file), cure=cure) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"the settings file cannot be read: {error}", where=str(file)) from None
    return read_settings(plain, file.resolve().parent)


def read_secret(secret: Secret, settings: Settings) -> bytes | None:
    """The secret's bytes, None when none is configured; refuses files that others can read (P21)."""
    if secret.env is not None and secret.file is not None:
        raise SettingsError("a secret has both env and file", where=secret.env, cure="keep one of them")
    if secret.env is not None:
        value = os.environ.get(secret.env)
        if value is None:
            raise SettingsError("the environment variable of a secret is not set", where=secret.env)
        return value.encode()
    if secret.file is not None:
        path = settings.path(secret.file)
        refuse_readable(path)
        return path.read_bytes().strip()
    return None


def refuse_readable(path: Path) -> None:
    """Raise SettingsError when a key or secret file is missing or readable by group or others (P21)."""
    try:
        mode = path.stat().st_mode
    except OSError:
        raise SettingsError("a key or secret file is missing", code="KEY.MISSING", where=path.name) from None
    if mode & 0o077:
        text = "a key file is readable by others"
        raise SettingsError(text, code="KEY.READABLE", where=path.name, cure="chmod 600 it")


def _check(settings: Settings) -> None:
    for where, url in _addresses(settings):
        _refuse_mixed_host(url, settings.environment, where)
    for name, key in settings.keys.items():
        if fault := key_fault(key.pkcs12, key.passphrase, key.pkcs11):
            raise SettingsError(fault[0], code="SETTINGS.KEY_PLACE", where=f"keys.{name}", cure=fault[1])
        if key.environment not in (None, settings.environment):
            raise SettingsError("a key belongs to another environment", code="SETTINGS.MIX", where=f"keys.{name}")
    if settings.trust.environment not in (None, settings.environment):
        raise SettingsError("the trust roots belong to another environment", code="SETTINGS.MIX", where="trust")
    seen: set[int] = set()
    names = [tenant.name for tenant in settings.tenant]
    for tenant in settings.tenant:
        if names.count(tenant.name) > 1:  # rows, pauses and tokens are kept by this name (P23)
            raise SettingsError("two tenants have the same name", where=f"tenant {tenant.name}")
        if seen & set(tenant.her_ids):
            raise SettingsError("a HER-id belongs to two tenants", where=f"tenant {tenant.name}")
        seen |= set(tenant.her_ids)
        if tenant.sign_with is not None and tenant.sign_with not in settings.keys:
            raise SettingsError("sign_with names no key", where=f"tenant {tenant.name}", cure="add [keys.NAME]")
        if not set(tenant.decrypt_with) <= set(settings.keys):
            raise SettingsError("decrypt_with names no key", where=f"tenant {tenant.name}", cure="add [keys.NAME]")
    _check_words(settings)
    _check_numbers(settings)
    own = {tenant.name: tenant.mail for tenant in settings.tenant}
    check_mail(settings.mail, own, settings.environment.value)
    if settings.ebms_http is not None:
        check_pair(settings.ebms_http, "ebms_http")
    if settings.receive is not None:
        check_receive(settings.receive)


def _check_words(settings: Settings) -> None:
    chosen: list[tuple[str, str, tuple[str, ...]]] = [
        ("receipts.via", settings.receipts.via, ("api", "document")),
        ("inbound.schema", settings.inbound.schema, ("tolerant", "strict")),
        ("inbound.handover", settings.inbound.handover, ("pull", "folder")),
        ("language", settings.language, ("nb", "en")),
    ]
    chosen += [(f"keys.{name}.owner", key.owner, ("company", "person")) for name, key in settings.keys.items()]
    for tenant in settings.tenant:
        if tenant.helseid is not None:
            forms = ("single", "single-child", "multi", "multi-child")
            chosen.append((f"tenant {tenant.name} helseid.form", tenant.helseid.form, forms))
    securities = ("tls", "starttls", "none")
    chosen += [(f"{name}.security", server.security, securities) for name, server in _mail_servers(settings)]
    for where, value, allowed in chosen:
        if value not in allowed:
            words = " or ".join(f"'{word}'" for word in allowed)
            raise SettingsError(f"{where.rpartition(' ')[2]} is {words}", where=where)
    if settings.inbound.handover == "folder" and settings.inbound.folder is None:
        raise SettingsError("handover to a folder needs the folder's name", where="inbound.folder")


def _check_numbers(settings: Settings) -> None:
    names = ("worker", "edi20", "inbound", "mail", "ebms_http", "receive", "agreements")
    sections: list[tuple[str, Any]] = [(name, getattr(settings, name)) for name in names]
    sections += [*_mail_servers(settings), *((f"tenant {t.name} mail", t.mail) for t in settings.tenant)]
    for name, section in sections:
        for field_ in fields(section) if section is not None else ():
            value = getattr(section, field_.name)
            if isinstance(value, int | float) and not isinstance(value, bool) and value <= 0:
                if (name, field_.name, value) == ("receive", "port", 0):
                    continue  # any free one
                raise SettingsError("a number above zero is expected", where=f"{name}.{field_.name}")
    for name, least in (("keep_bytes_days", 1), ("keep_unverified_days", 1), ("unverified_max_bytes", 0)):
        value = getattr(settings.store, name)
        if value is not None and value < least:  # days of zero would delete everything at once (P28)
            raise SettingsError(f"at least {least} is expected", where=f"store.{name}")


def _mail_servers(settings: Settings) -> list[tuple[str, MailServerSettings]]:
    """Each mail server of the settings with its place, the tenants' own too."""
    found = mail_servers(settings.mail)
    for tenant in settings.tenant:
        found += mail_servers(tenant.mail, f"tenant {tenant.name} mail")
    return found


def _addresses(settings: Settings) -> list[tuple[str, str]]:
    """Every address of a national service in the settings, with its place."""
    found = [(f"tenant {t.name}.helseid.issuer", t.helseid.issuer) for t in settings.tenant if t.helseid is not None]
    if settings.edi20 is not None:
        found.append(("edi20.base_url", settings.edi20.base_url))
    if settings.register.base_url is not None:
        found.append(("register.base_url", settings.register.base_url))
    if settings.agreements.register_url is not None:
        found.append(("agreements.register_url", settings.agreements.register_url))
    found += [(f"{name}.host", f"//{server.host}") for name, server in _mail_servers(settings)]
    return found


def _refuse_mixed_host(url: str, environment: Environment, where: str) -> None:
    """Raise SettingsError when a national host belongs to the other environment (P22).

    The national test hosts carry a label ``test``, the production hosts do not; other hosts are not judged.
    """
    try:
        labels = (urlsplit(url).hostname or "").lower().rstrip(".").split(".")
    except ValueError:
        raise SettingsError("not an address", code="SETTINGS.URL", where=where) from None
    if labels[-2:] != ["nhn", "no"]:
        return
    is_test = any("test" in label.split("-") for label in labels)
    if is_test != (environment is Environment.TEST):
        text = f"a {'test' if is_test else 'production'} host in environment {environment.value}"
        raise SettingsError(text, code="SETTINGS.MIX", where=where, cure="use hosts of one environment")
