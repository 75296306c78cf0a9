"""Revocation over OCSP and CRL, kept on a short leash.

Only hosts on the list are asked, without redirects, with limits on time and size, and only by a caller whose chain has
already reached a root of ours (P20). What cannot be asked is "unchecked", never "revoked". Answers are kept until they
say they end, at most an hour; a place that has just failed is left alone for a minute, so that an outage at an issuer
does not slow the inbox down.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from adapter.security.certificates import find_extension, valid_at

if TYPE_CHECKING:
    import requests

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

KEEP = timedelta(hours=1)
LEAVE_ALONE = timedelta(minutes=1)
_SKEW = timedelta(minutes=5)
_NO_END = timedelta(hours=24)  # for answers that do not say when they end
_MAX_KEPT = 2_000
_PORTS = {"http": 80, "https": 443}


class Standing(StrEnum):
    GOOD = "good"
    REVOKED = "revoked"
    UNCHECKED = "unchecked"


class RevocationPort(Protocol):
    def check(self, certificate: x509.Certificate, issuer: x509.Certificate, when: datetime) -> Standing:
        """Whether ``certificate``, issued by ``issuer`` (already proven), is revoked now; ``when`` is aware."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Limits of one question: seconds and bytes."""

    connect_s: float = 3.0
    read_s: float = 5.0
    total_s: float = 10.0
    ocsp_bytes: int = 64_000
    crl_bytes: int = 20_000_000


@dataclass(slots=True)
class _Kept:
    standing: dict[bytes, tuple[Standing, datetime]] = field(default_factory=dict)
    crl: dict[tuple[str, bytes], tuple[x509.CertificateRevocationList, datetime]] = field(default_factory=dict)
    failed: dict[str, datetime] = field(default_factory=dict)


class RevocationClient:
    """Asks OCSP, then the CRL, as the certificate itself names them. One instance may serve several threads.

    ``hosts`` are names ("ocsp.example.no", ports 80 and 443) or names with a port ("127.0.0.1:8080"). ``session`` lets
    a caller hand in a requests session with proxies.
    """

    def __init__(
        self, hosts: Collection[str], *, bounds: Bounds | None = None, session: requests.Session | None = None
    ) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._bounds = bounds or Bounds()
        self._session = session
        self._kept = _Kept()
        self._lock = threading.Lock()

    def check(self, certificate: x509.Certificate, issuer: x509.Certificate, when: datetime) -> Standing:
        key = certificate.fingerprint(hashes.SHA256())
        with self._lock:
            kept = self._kept.standing.get(key)
        if kept is not None and when < kept[1]:
            return kept[0]
        for ask, urls in ((self._ask_ocsp, _ocsp_urls(certificate)), (self._ask_crl, _crl_urls(certificate))):
            for url in urls:
                answer = self._try(ask, url, certificate, issuer, when)
                if answer is not None:
                    with self._lock:
                        _keep(self._kept.standing, key, answer)
                    return answer[0]
        return Standing.UNCHECKED

    def _try(
        self,
        ask: Callable[[str, x509.Certificate, x509.Certificate, datetime], tuple[Standing, datetime] | None],
        url: str,
        certificate: x509.Certificate,
        issuer: x509.Certificate,
        when: datetime,
    ) -> tuple[Standing, datetime] | None:
        if not self._allowed(url):
            return None
        with self._lock:
            failed = self._kept.failed.get(url)
        if failed is not None and when < failed:
            return None
        return ask(url, certificate, issuer, when)

    def _allowed(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return False
        if parts.scheme not in _PORTS or parts.username is not None or not parts.hostname:
            return False
        if port in (None, 80, 443) and parts.hostname in self._hosts:
            return True
        return f"{parts.hostname}:{port or _PORTS[parts.scheme]}" in self._hosts

    def _ask_ocsp(
        self, url: str, certificate: x509.Certificate, issuer: x509.Certificate, when: datetime
    ) -> tuple[Standing, datetime] | None:
        # SHA-1 only names the issuer here; it is the one form that every responder understands.
        builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA1())  # noqa: S303
        content = self._fetch(url, self._bounds.ocsp_bytes, builder.build().public_bytes(Encoding.DER), when)
        return None if content is None else read_ocsp(content, certificate, issuer, when)

    def _ask_crl(
        self, url: str, certificate: x509.Certificate, issuer: x509.Certificate, when: datetime
    ) -> tuple[Standing, datetime] | None:
        key = url, issuer.fingerprint(hashes.SHA256())
        with self._lock:
            kept = self._kept.crl.get(key)
        if kept is None or when >= kept[1]:
            content = self._fetch(url, self._bounds.crl_bytes, None, when)
            kept = None if content is None else read_crl(content, issuer, when)
            if kept is None:
                return None
            with self._lock:
                _keep(self._kept.crl, key, kept)
        crl, until = kept
        entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
        return (Standing.GOOD if entry is None else Standing.REVOKED), until

    def _fetch(self, url: str, limit: int, body: bytes | None, when: datetime) -> bytes | None:
        """The answer's bytes; None for anything but 200 within the limits, and the place is then left alone a while."""
        import requests

        session = self._open_session()
        deadline = time.monotonic() + self._bounds.total_s
        content = None
        try:
            with session.request(
                "GET" if body is None else "POST",
                url,
                data=body,
                headers={"Content-Type": "application/ocsp-request"} if body is not None else {},
                timeout=(self._bounds.connect_s, self._bounds.read_s),
                allow_redirects=False,
                stream=True,
            ) as response:
                if response.status_code == 200:
                    content = _read_within(response.iter_content(65_536), limit, deadline)
        except (requests.RequestException, OSError):
            content = None
        if content is None:
            with self._lock:
                _keep(self._kept.failed, url, when + LEAVE_ALONE)
        return content

    def _open_session(self) -> requests.Session:
        import requests

        with self._lock:
            if self._session is None:
                self._session = requests.Session()
                self._session.trust_env = False
            return self._session


def _read_within(chunks: Iterator[bytes], limit: int, deadline: float) -> bytes | None:
    content = bytearray()
    for chunk in chunks:
        content += chunk
        if len(content) > limit or time.monotonic() > deadline:
            return None
    return bytes(content)


def read_ocsp(
    content: bytes, certificate: x509.Certificate, issuer: x509.Certificate, when: datetime
) -> tuple[Standing, datetime] | None:
    """Standing and end of an OCSP answer about the certificate; None for one that proves nothing."""
    try:
        response = ocsp.load_der_ocsp_response(content)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            return None
        own = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, response.hash_algorithm).build()
        asked = (own.serial_number, own.issuer_name_hash, own.issuer_key_hash)
        if (response.serial_number, response.issuer_name_hash, response.issuer_key_hash) != asked:
            return None
        until = _until(response.this_update_utc, response.next_update_utc, when)
        if until is None or not _responder_signed(response, issuer, when):
            return None
        if response.certificate_status is ocsp.OCSPCertStatus.UNKNOWN:
            return None
        revoked = response.certificate_status is ocsp.OCSPCertStatus.REVOKED
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return (Standing.REVOKED if revoked else Standing.GOOD), until


def _responder_signed(response: ocsp.OCSPResponse, issuer: x509.Certificate, when: datetime) -> bool:
    """True when the issuer signed the answer, or somebody whom the issuer has certified to do so."""
    signers = [issuer]
    for candidate in response.certificates[:4]:
        usage = find_extension(candidate, x509.ExtendedKeyUsage)
        if usage is not None and ExtendedKeyUsageOID.OCSP_SIGNING in usage and valid_at(candidate, when):
            try:
                candidate.verify_directly_issued_by(issuer)
            except (ValueError, TypeError, InvalidSignature):
                continue
            signers.append(candidate)
    algorithm = response.signature_hash_algorithm
    return algorithm is not None and any(_signed_by(signer, response, algorithm) for signer in signers)


def _signed_by(signer: x509.Certificate, response: ocsp.OCSPResponse, algorithm: hashes.HashAlgorithm) -> bool:
    key = signer.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(response.signature, response.tbs_response_bytes, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(algorithm))
        else:
            return False
    except InvalidSignature:
        return False
    return True


def read_crl(
    content: bytes, issuer: x509.Certificate, when: datetime
) -> tuple[x509.CertificateRevocationList, datetime] | None:
    """A complete, current CRL by the issuer, and its end; None for anything else."""
    try:
        load = x509.load_pem_x509_crl if content.startswith(b"-----") else x509.load_der_x509_crl
        crl = load(content)
        until = _until(crl.last_update_utc, crl.next_update_utc, when)
        key = issuer.public_key()
        if (
            until is None
            or crl.issuer != issuer.subject
            or not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
        ):
            return None
        if not crl.is_signature_valid(key) or any(extension.critical for extension in crl.extensions):
            return None  # critical: a delta or partial list, which proves nothing alone
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return crl, until


def _until(begin: datetime, end: datetime | None, when: datetime) -> datetime | None:
    end = end or begin + _NO_END
    if begin > when + _SKEW or end <= when:
        return None
    return min(end, when + KEEP)


def _ocsp_urls(certificate: x509.Certificate) -> list[str]:
    access = find_extension(certificate, x509.AuthorityInformationAccess)
    places = [one.access_location for one in access or () if one.access_method == AuthorityInformationAccessOID.OCSP]
    return [place.value for place in places if isinstance(place, x509.UniformResourceIdentifier)][:2]


def _crl_urls(certificate: x509.Certificate) -> list[str]:
    points = find_extension(certificate, x509.CRLDistributionPoints)
    names = [name for point in points or () for name in point.full_name or ()]
    return [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)][:2]


def _keep(kept: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    while len(kept) >= _MAX_KEPT:
        kept.pop(next(iter(kept)))
    kept[key] = value
