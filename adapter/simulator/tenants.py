"""The tenants of a simulation: organisations that the adapter acts for, with their HelseID keys."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from joserfc.jwk import ECKey, KeyParameters, RSAKey

from adapter.simulator.helseid import Client
from adapter.simulator.world import TenantSpec


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant with its HelseID key. ``private_jwk`` was made at run time and is worth nothing elsewhere."""

    spec: TenantSpec
    private_jwk: Mapping[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def organisation_number(self) -> str:
        return self.spec.organisation_number

    @property
    def her_ids(self) -> tuple[int, ...]:
        return self.spec.her_ids

    @property
    def client_id(self) -> str:
        return self.spec.client_id


@lru_cache(maxsize=8)
def _client_key(name: str, algorithm: str) -> RSAKey | ECKey:
    """A tenant's key, one per process: making RSA keys is slow and no test needs two."""
    parameters: KeyParameters = {"alg": algorithm, "use": "sig", "kid": secrets.token_hex(16)}
    if algorithm.startswith("ES"):
        return ECKey.generate_key("P-256", parameters, private=True)
    return RSAKey.generate_key(2048, parameters, private=True)


def make_tenant(spec: TenantSpec) -> Tenant:
    """The tenant with its key."""
    return Tenant(spec, _client_key(spec.name, spec.algorithm).as_dict(private=True))


def client_of(tenant: Tenant) -> Client:
    """The tenant as a client of HelseID."""
    spec = tenant.spec
    key = _client_key(spec.name, spec.algorithm)
    multi = spec.form.startswith("multi")
    children = (spec.child_number,) if spec.child_number else ()
    return Client(
        client_id=spec.client_id,
        name=spec.display_name,
        organisation_number=spec.supplier_number or spec.organisation_number,
        keys=(key.as_dict(private=False),),
        multi_tenant=multi,
        children=() if multi else children,
        customers={spec.organisation_number: children} if multi else {},
    )
