"""Signing keys of the simulated world: a root, an issuing CA, company and person keys, made at run time."""

from __future__ import annotations

import base64
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate

from adapter.security.demo_ca import DemoCa, Validity, key_usage
from adapter.security.keys import SigningKey
from adapter.simulator.world import PersonSpec, TenantSpec

_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeKeys:
    """What an organisation on the ebXML road has: ``stranger`` is another's key in its name, not registered."""

    signing: SigningKey
    sealing: SigningKey  # opens what is encrypted for it
    expired: SigningKey  # the signing key under a certificate that ran out
    stranger: SigningKey


@dataclass(frozen=True, slots=True)
class KeySet:
    """The CA and the keys of the tenants: ``companies`` by tenant, ``persons`` by (tenant, person's short name)."""

    root: DemoCa
    issuing: DemoCa
    companies: dict[str, SigningKey] = field(default_factory=dict)
    persons: dict[tuple[str, str], SigningKey] = field(default_factory=dict)
    signers: dict[tuple[str, int], PersonSpec] = field(default_factory=dict)  # (issuer, serial) -> who
    envelopes: dict[str, EnvelopeKeys] = field(default_factory=dict)  # by organisation number, made when asked for

    def signer_of(self, certificate: Certificate) -> PersonSpec | None:
        """The person a certificate was issued to here, None for companies and strangers."""
        return self.signers.get((certificate.issuer.rfc4514_string(), certificate.serial_number))

    def envelope_keys(self, name: str, number: str, signing: SigningKey | None = None) -> EnvelopeKeys:
        """The keys of an organisation on the ebXML road, the same each time; ``signing`` is the one that it has."""
        with _one_at_a_time:
            if number not in self.envelopes:
                self.envelopes[number] = _envelope_keys(self.issuing, name, number, signing)
            return self.envelopes[number]


def make_keys(tenants: tuple[TenantSpec, ...], at: datetime | None = None) -> KeySet:
    """Keys for the tenants, once per process (RSA keys take a tenth of a second each).

    Certificates are valid around ``at``; None: around the machine's time.
    """
    with _one_at_a_time:  # two threads must not get different keys
        return _make_keys(tenants, at)


@lru_cache(maxsize=4)
def _make_keys(tenants: tuple[TenantSpec, ...], at: datetime | None) -> KeySet:
    name = "Simulator Root CA"
    root = DemoCa.create(name) if at is None else DemoCa.create(name, clock=lambda: at)
    issuing = root.create_below("Simulator Class 3 CA")
    made = KeySet(root, issuing)
    for tenant in tenants:
        made.companies[tenant.name] = issuing.issue_company(tenant.display_name, tenant.organisation_number)
        for number, person in enumerate(tenant.persons, start=1):
            key = issuing.issue_person(person.given_name, person.family_name, f"9578-4050-{tenant.level1}{number}")
            made.persons[(tenant.name, person.name)] = key
            made.signers[(key.certificate.issuer.rfc4514_string(), key.certificate.serial_number)] = person
    return made


def _envelope_keys(issuing: DemoCa, name: str, number: str, signing: SigningKey | None) -> EnvelopeKeys:
    current = signing or issuing.issue_company(name, number)
    now = issuing.clock()
    past = Validity(begin=now - timedelta(days=800), end=now - timedelta(days=60))
    sealing = issuing.issue_company(name, number, usage=key_usage(key_encipherment=True))
    return EnvelopeKeys(
        signing=current,
        sealing=sealing,
        expired=issuing.issue_company(name, number, key=current.private_key, validity=past),
        stranger=issuing.issue_company(name, number, key=sealing.private_key),
    )


def certificate_entry(certificate: Certificate) -> dict[str, str]:
    """A certificate in the register's shape, with its value."""
    return {
        "thumbprint": certificate.fingerprint(hashes.SHA1()).hex().upper(),  # noqa: S303 - the register's form
        "validFrom": certificate.not_valid_before_utc.isoformat(),
        "validTo": certificate.not_valid_after_utc.isoformat(),
        "certificateValue": base64.b64encode(certificate.public_bytes(Encoding.DER)).decode(),
    }
