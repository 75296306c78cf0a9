"""Keys and certificates for the tests of this room, made once per run."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from adapter.security.demo_ca import DemoCa, new_key
from adapter.security.keys import SigningKey


@pytest.fixture(scope="session")
def ca() -> DemoCa:
    return DemoCa.create()


@pytest.fixture(scope="session")
def leaf_key() -> rsa.RSAPrivateKey:
    """One RSA key that every leaf certificate may share: making keys is what costs."""
    return new_key()


@pytest.fixture(scope="session")
def company(ca: DemoCa, leaf_key: rsa.RSAPrivateKey) -> SigningKey:
    return ca.issue_company("Prøvekommunen", "974760673", key=leaf_key)


@pytest.fixture(scope="session")
def person(ca: DemoCa, leaf_key: rsa.RSAPrivateKey) -> SigningKey:
    return ca.issue_person("Prøve", "Person", "UN:NO-9578-4050-1234567", key=leaf_key)
