"""Keys and certificates for the tests of this room, made once per run."""

from __future__ import annotations

from pathlib import Path

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


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The real messages beside the project, where they are."""
    folder = Path(__file__).parents[2] / ".." / "shared" / "corpus" / "ebxml"
    if not folder.is_dir():
        pytest.skip("the corpus of real messages is not here")
    return folder


@pytest.fixture(scope="session")
def corpus_p7m(corpus: Path) -> bytes:
    return (corpus / "speare-oppgjorsmelding.p7m").read_bytes()
