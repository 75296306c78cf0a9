"""Keys on a token: SoftHSM2 stands for a smart card. What it signs is judged by our engine, signxml and openssl."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from adapter import xmlio
from adapter.config import Environment, KeySettings, Secret
from adapter.errors import Again, CardError, DecryptionError, KeyFileError
from adapter.security import cms, xmldsig
from adapter.security.demo_ca import DemoCa, Validity, key_usage, new_key, write_pkcs12
from adapter.security.keys import LOOK_AGAIN_S, KeyRing, SigningKey
from adapter.security.pkcs11 import CardKey, load_pkcs11
from adapter.security.pkcs11_token import end_sessions, refuse_locked, token_of
from tests.security import oracles
from tests.security.test_keys import ring_settings
from tests.security.tokens import PIN, WRONG, SoftToken, needs_softhsm, soft_token

pytestmark = needs_softhsm
DATA = b"what is to be signed"
DOCUMENT = b'<m xmlns="urn:m"><a>x</a></m>'
PIN_COUNT_LOW = 0x0001_0000  # CKF_USER_PIN_COUNT_LOW: the last PIN that was tried was wrong


@pytest.fixture
def token(tmp_path: Path) -> Iterator[SoftToken]:
    with soft_token(tmp_path / "card") as made:
        yield made


@pytest.fixture(scope="session")
def other(ca: DemoCa) -> SigningKey:
    """Another company's key and certificate."""
    return ca.issue_company("Annen kommune", "312045303")


def load(card: SoftToken, owner: str = "company", **settings: Any) -> CardKey:
    return load_pkcs11(card.settings(**settings), card.pin, owner, name="on-card")


def verify(key: CardKey | SigningKey, value: bytes, data: bytes = DATA) -> None:
    """Raises unless the key of the certificate has signed."""
    public = key.certificate.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    public.verify(value, data, padding.PKCS1v15(), hashes.SHA256())


# --- signing ----------------------------------------------------------------------------------------------------------


def test_the_token_signs_and_its_certificate_verifies(token: SoftToken, company: SigningKey) -> None:
    token.put(company)
    key = load(token)
    assert key.certificate == company.certificate
    assert key.sign(DATA) == company.sign(DATA)  # PKCS#1 v1.5 has one right answer


def test_openssl_accepts_what_the_token_signs(token: SoftToken, company: SigningKey, tmp_path: Path) -> None:
    token.put(company)
    key = load(token)
    public = key.certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for name, content in {"public.pem": public, "signature": key.sign(DATA), "content": DATA}.items():
        (tmp_path / name).write_bytes(content)
    words = ["openssl", "dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "content"]
    assert subprocess.run(words, cwd=tmp_path, capture_output=True, check=True).stdout == b"Verified OK\n"


def test_our_engine_and_signxml_accept_a_document_that_the_token_signed(token: SoftToken, company: SigningKey) -> None:
    token.put(company)
    signed = xmldsig.sign_document(DOCUMENT, load(token))
    assert xmldsig.verify(xmlio.parse(signed)).certificate == company.certificate
    assert oracles.by_signxml(signed, company.certificate)


def test_a_token_without_sha256_signs_the_digest_that_we_make(tmp_path: Path, company: SigningKey) -> None:
    with soft_token(tmp_path / "old", mechanisms="CKM_RSA_PKCS") as token:
        token.put(company)
        assert load(token).sign(DATA) == company.sign(DATA)


def test_a_key_that_wants_its_pin_each_time_gets_it(token: SoftToken, company: SigningKey) -> None:
    token.put(company, always_authenticate=True)
    key = load(token)
    assert [key.sign(DATA) for _ in range(2)] == [company.sign(DATA)] * 2


def test_several_threads_sign_with_one_session(token: SoftToken, company: SigningKey) -> None:
    token.put(company)
    key, texts = load(token), [str(number).encode() for number in range(40)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(key.sign, texts)) == [company.sign(text) for text in texts]


def test_p14_the_owner_is_what_the_settings_say(token: SoftToken, company: SigningKey) -> None:
    token.put(company)
    assert load(token, owner="person").owner == "person"
    with pytest.raises(KeyFileError, match="owner"):
        load(token, owner="somebody")


def test_p21_nothing_private_shows_when_a_key_is_printed(token: SoftToken, company: SigningKey) -> None:
    token.put(company)
    assert repr(load(token)) == "CardKey(name='on-card', owner='company', environment=None)"


# --- which key, which certificate -------------------------------------------------------------------------------------


def test_the_only_key_needs_no_name_and_of_several_one_is_named(
    token: SoftToken, company: SigningKey, other: SigningKey
) -> None:
    token.put(company, label="a", key_id=b"\xa0")
    assert load(token).certificate == company.certificate
    token.put(other, label="b", key_id=b"\xb0")
    assert load(token, key_label="a").certificate == company.certificate
    assert load(token, key_id="B0").certificate == other.certificate
    with pytest.raises(CardError, match=r"KEY\.LABEL: several keys"):
        load(token)


@pytest.mark.parametrize("which", [{"key_label": "none"}, {"key_id": "ff"}])
def test_a_key_that_is_not_there_is_said_so(token: SoftToken, company: SigningKey, which: dict[str, str]) -> None:
    token.put(company)
    with pytest.raises(CardError, match=r"KEY\.LABEL: no RSA key.*on-card.*key_label and key_id"):
        load(token, **which)


def test_a_certificate_of_another_key_is_not_taken(token: SoftToken, company: SigningKey, other: SigningKey) -> None:
    token.put(company, certificate=False)
    token.put_certificate(other)
    with pytest.raises(CardError, match=r"KEY\.CERTIFICATE"):
        load(token)


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_the_certificate_may_lie_in_a_file(
    token: SoftToken, company: SigningKey, tmp_path: Path, encoding: Encoding
) -> None:
    token.put(company, certificate=False)
    file = tmp_path / "certificate"
    file.write_bytes(company.certificate.public_bytes(encoding))
    key = load_pkcs11(token.settings(), token.pin, "company", name="k", certificate=file)
    assert key.certificate == company.certificate
    verify(key, key.sign(DATA))


@pytest.mark.parametrize("content", [b"no certificate", b"-----BEGIN nothing", None])
def test_a_certificate_file_that_cannot_be_read_is_said_so(
    token: SoftToken, company: SigningKey, tmp_path: Path, content: bytes | None
) -> None:
    token.put(company)
    file = tmp_path / "certificate"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(KeyFileError, match=r"KEY\.CERTIFICATE.*\[certificate\]"):
        load_pkcs11(token.settings(), token.pin, "company", name="k", certificate=file)


def test_p27_a_renewed_certificate_of_the_key_is_the_one_in_use(
    token: SoftToken, ca: DemoCa, company: SigningKey
) -> None:
    token.put(company)
    begin = ca.clock()
    renewed = ca.issue_company(
        "Prøvekommunen",
        "974760673",
        key=company.private_key,
        validity=Validity(begin=begin, end=begin + timedelta(days=700)),
    )
    token.put_certificate(renewed)
    assert load(token).certificate == renewed.certificate


def test_the_issuer_on_the_token_travels_with_the_key(token: SoftToken, ca: DemoCa) -> None:
    below = ca.create_below()
    key = below.issue_company("Under", "974760673")
    token.put(key)
    token.put_certificate(replace(key, certificate=below.certificate), label="issuer", key_id=b"\2")
    token.put_certificate(replace(key, certificate=ca.certificate), label="root", key_id=b"\3")
    assert load(token).chain == (below.certificate,)


def test_a_short_key_will_not_do(token: SoftToken, ca: DemoCa) -> None:
    token.put(ca.issue_company("Svak", "974760673", key=new_key(1024)))
    with pytest.raises(KeyFileError, match=r"KEY\.SIZE"):
        load(token)


# --- the PIN ----------------------------------------------------------------------------------------------------------


def test_a_wrong_pin_is_tried_once_and_never_again(token: SoftToken, company: SigningKey) -> None:
    token.put(company)
    token.write_pin(WRONG)
    with pytest.raises(CardError, match=r"KEY\.PIN"):
        load(token)
    assert token.flags() & PIN_COUNT_LOW
    _log_in_by_hand(token)  # the token forgets what was tried
    for _ in range(5):
        with pytest.raises(CardError, match=r"KEY\.PIN") as caught:
            load(token)
    assert not token.flags() & PIN_COUNT_LOW  # it has seen no other try
    assert WRONG not in str(caught.value)


def _log_in_by_hand(token: SoftToken) -> None:
    import pkcs11

    found = next(one for one in pkcs11.lib(token.module).get_tokens() if one.label == token.label)
    found.open(user_pin=PIN).close()


def test_a_corrected_pin_is_tried_at_once(token: SoftToken, company: SigningKey) -> None:
    token.put(company)
    token.write_pin(WRONG)
    with pytest.raises(CardError):
        load(token)
    token.write_pin(PIN)
    verify(company, load(token).sign(DATA))


def test_a_refused_pin_is_not_tried_by_another_key_of_the_same_card(
    token: SoftToken, company: SigningKey, other: SigningKey
) -> None:
    token.put(company, label="a", key_id=b"\xa0")
    token.put(other, label="b", key_id=b"\xb0")
    token.write_pin(WRONG)
    with pytest.raises(CardError):
        load(token, key_label="a")
    _log_in_by_hand(token)
    with pytest.raises(CardError, match=r"KEY\.PIN"):
        load(token, key_label="b")
    assert not token.flags() & PIN_COUNT_LOW


def test_a_pin_that_turns_wrong_before_a_signature_is_tried_once(token: SoftToken, company: SigningKey) -> None:
    token.put(company, always_authenticate=True)
    key = load(token)
    token.write_pin(WRONG)
    for _ in range(2):
        with pytest.raises(CardError, match=r"KEY\.PIN"):
            key.sign(DATA)
    token.write_pin(PIN)
    verify(key, key.sign(DATA))


def test_a_missing_pin_is_asked_for(token: SoftToken, company: SigningKey) -> None:
    token.put(company)
    with pytest.raises(CardError, match=r"KEY\.PIN: a card wants a PIN.*set pin"):
        load_pkcs11(token.settings(), lambda: None, "company", name="k")
    assert not token.flags() & PIN_COUNT_LOW


@pytest.mark.parametrize(
    ("flags", "code"), [(0x0004_0000, "LOCKED"), (0x0002_0000, "LAST_TRY"), (0x0006_0000, "LOCKED")]
)
def test_a_locked_card_and_the_last_try_before_that_are_left_alone(flags: int, code: str) -> None:
    with pytest.raises(CardError, match=rf"KEY\.{code}"):
        refuse_locked(flags, "card")
    refuse_locked(PIN_COUNT_LOW, "card")


# --- a card that goes away --------------------------------------------------------------------------------------------


def test_a_lost_session_is_opened_again(token: SoftToken, company: SigningKey) -> None:
    token.put(company)
    key = load(token)
    token.lose_session()
    verify(key, key.sign(DATA))


def test_a_card_that_is_out_is_said_so_and_signs_when_it_is_back(token: SoftToken, company: SigningKey) -> None:
    token.put(company)
    key = load(token)
    token.take_out()
    for _ in range(2):
        with pytest.raises(CardError, match=r"KEY\.CARD.*\[card\]") as caught:
            key.sign(DATA)
    assert caught.value.again is Again.LATER
    token.put_in()
    verify(key, key.sign(DATA))


def test_another_card_of_the_same_name_does_not_sign_in_its_place(
    token: SoftToken, company: SigningKey, other: SigningKey
) -> None:
    token.put(company)
    key = load(token)
    token.replace()
    token.put(other)
    with pytest.raises(CardError, match=r"KEY\.PAIR"):
        key.sign(DATA)


def test_a_missing_token_and_a_missing_driver_are_said_so(token: SoftToken) -> None:
    with pytest.raises(CardError, match=r"KEY\.CARD.*\[other\]"):
        load(token, token="other")
    with pytest.raises(CardError, match=r"KEY\.DRIVER"):
        load(token, module=str(token.folder / "none.so"))


def test_a_card_that_fails_in_a_new_session_too_is_said_to_be_away_and_its_keys_are_read_again(
    token: SoftToken, company: SigningKey
) -> None:
    import pkcs11

    token.put(company)
    load(token)
    held, tries = token_of(token.settings()), []

    def fails(session: Any) -> None:
        tries.append(session)
        raise pkcs11.exceptions.DeviceError

    before = held.generation
    with pytest.raises(CardError, match=r"KEY\.CARD.*\[card\]"):
        held.use(token.pin, fails)
    assert len(set(map(id, tries))) == 2
    assert held.generation == before + 2
    verify(company, load(token).sign(DATA))


def test_two_cards_of_one_name_are_told_apart_by_their_serial_numbers(token: SoftToken, company: SigningKey) -> None:
    token.put(company)
    serial = token.serial()
    token._initialise()  # another one beside it
    with pytest.raises(CardError, match=r"KEY\.TOKEN.*\[card\].*serial number"):
        load(token)
    assert load(token, token=serial).certificate == company.certificate


def test_a_session_that_another_part_of_the_process_has_logged_in_is_shared(
    token: SoftToken, company: SigningKey
) -> None:
    import pkcs11

    token.put(company)
    found = next(one for one in pkcs11.lib(token.module).get_tokens() if one.label == token.label)
    with found.open(user_pin=PIN):
        verify(company, load(token).sign(DATA))


def test_a_token_can_be_named_by_its_serial_number(token: SoftToken, company: SigningKey) -> None:
    token.put(company)
    assert load(token, token=token.serial()).certificate == company.certificate


def test_without_the_library_the_cure_is_told(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['pkcs11'] = None\n"
        "from adapter.config import Pkcs11Settings\n"
        "from adapter.security.pkcs11 import load_pkcs11\n"
        "load_pkcs11(Pkcs11Settings(module='x', token='y'), lambda: b'', 'company', name='k')\n"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False).stderr
    assert "KEY.LIBRARY" in told
    assert "adapter[pkcs11]" in told


# --- decryption -------------------------------------------------------------------------------------------------------


@pytest.fixture
def opening(token: SoftToken, ca: DemoCa) -> CardKey:
    token.put(ca.issue_company("Prøvekommunen", "974760673", usage=key_usage(key_encipherment=True)))
    return load(token)


def test_the_token_opens_what_is_encrypted_for_its_certificate(opening: CardKey) -> None:
    assert cms.decrypt(cms.encrypt(b"content", opening.certificate), [opening]) == b"content"


def test_the_token_opens_oaep(opening: CardKey, tmp_path: Path) -> None:
    file = tmp_path / "to.pem"
    file.write_bytes(opening.certificate.public_bytes(Encoding.PEM))
    words = ["openssl", "cms", "-encrypt", "-aes256", "-binary", "-outform", "DER", "-recip", str(file)]
    made = subprocess.run(
        [*words, "-keyopt", "rsa_padding_mode:oaep"], input=b"content", capture_output=True, check=True
    ).stdout
    assert cms.decrypt(made, [opening]) == b"content"


def test_a_forged_content_key_tells_nothing_and_the_card_stays_in_use(opening: CardKey) -> None:
    enveloped = cms.encrypt(b"content" * 10, opening.certificate)
    start = enveloped.index(_wrapped(enveloped))
    forged = enveloped[:start] + bytes(256) + enveloped[start + 256 :]
    assert [_outcome(forged, opening) == b"content" * 10 for _ in range(3)] == [False] * 3
    assert cms.decrypt(enveloped, [opening]) == b"content" * 10


def _outcome(enveloped: bytes, key: CardKey) -> bytes | str:
    """Noise, once in 256 times; else the one reason that every bad key has."""
    try:
        return cms.decrypt(enveloped, [key])
    except DecryptionError as error:
        return error.reason


def _wrapped(enveloped: bytes) -> bytes:
    from adapter.security.cms_read import read_enveloped

    return read_enveloped(enveloped).recipients[0].wrapped


def test_a_card_that_is_out_is_not_taken_for_a_forgery(token: SoftToken, opening: CardKey) -> None:
    enveloped = cms.encrypt(b"content", opening.certificate)
    token.take_out()
    with pytest.raises(CardError):
        cms.decrypt(enveloped, [opening])
    token.put_in()
    assert cms.decrypt(enveloped, [opening]) == b"content"


def test_a_padding_that_no_token_knows_is_a_content_key_that_cannot_be_had(opening: CardKey) -> None:
    labelled = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=b"x")
    with pytest.raises(ValueError, match="not on a token"):
        opening.private_key.decrypt(bytes(256), labelled)


# --- the key ring -----------------------------------------------------------------------------------------------------


@pytest.fixture
def time() -> list[float]:
    return [0.0]


@pytest.fixture
def ring(token: SoftToken, company: SigningKey, tmp_path: Path, time: list[float]) -> KeyRing:
    token.put(company)
    write_pkcs12(company, tmp_path / "k.p12")
    keys = {
        "card": KeySettings(pkcs11=token.settings(), owner="person"),
        "file": KeySettings(pkcs12="k.p12"),
        "unset": KeySettings(pkcs11=token.settings(pin=Secret(env="NO_SUCH_VARIABLE_7"))),
    }
    return KeyRing(ring_settings(tmp_path, keys), clock=lambda: time[0])


def test_p22_the_ring_finds_keys_on_cards_with_owner_and_environment(ring: KeyRing) -> None:
    key = ring.find("card")
    assert (key.name, key.owner, key.environment) == ("card", "person", Environment.TEST)
    assert ring.find("card") is key
    verify(key, key.sign(DATA))


def test_p27_a_renewed_certificate_is_seen_after_some_minutes(
    ring: KeyRing, token: SoftToken, ca: DemoCa, company: SigningKey, time: list[float]
) -> None:
    first = ring.find("card")
    begin = ca.clock()
    validity = Validity(begin=begin, end=begin + timedelta(days=700))
    token.put_certificate(ca.issue_company("Ny", "974760673", key=company.private_key, validity=validity))
    time[0] = LOOK_AGAIN_S
    assert ring.find("card").certificate != first.certificate


def test_another_card_is_read_anew(ring: KeyRing, token: SoftToken, other: SigningKey) -> None:
    old = ring.find("card")
    token.replace()
    token.put(other)
    with pytest.raises(CardError):
        old.sign(DATA)
    new = ring.find("card")
    assert new.certificate == other.certificate
    verify(new, new.sign(DATA))


def test_a_card_that_is_out_keeps_its_certificate_and_is_no_failed_renewal(ring: KeyRing, token: SoftToken) -> None:
    key = ring.find("card")
    token.take_out()
    with pytest.raises(CardError):
        key.sign(DATA)
    assert ring.find("card").certificate == key.certificate
    assert ring.problems == {}
    token.put_in()
    verify(key, ring.find("card").sign(DATA))


def test_a_card_that_was_never_there_does_not_hinder_the_others(ring: KeyRing, token: SoftToken) -> None:
    end_sessions()
    token.take_out()
    with pytest.raises(CardError):
        ring.find("card")
    assert ring.find("file").sign(DATA)


def test_a_pin_that_is_not_set_is_said_so(ring: KeyRing) -> None:
    with pytest.raises(KeyFileError, match="environment variable"):
        ring.find("unset")


def test_two_rings_share_the_session(ring: KeyRing, token: SoftToken) -> None:
    again = KeyRing(ring._settings)
    assert ring.find("card").sign(DATA) == again.find("card").sign(DATA)
