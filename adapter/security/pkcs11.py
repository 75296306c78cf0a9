"""Keys on a smart card or in an HSM: signing and unwrapping happen on the token, by PKCS#11 (cryptoki 2.20 and later).

When the token cannot be used, CardError says so and whoever wanted to sign waits (``again`` is later). Each signature
is verified with the certificate before it is believed, so that another card in the reader cannot sign in its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from adapter.config import Environment, Pkcs11Settings
from adapter.errors import CardError, KeyFileError
from adapter.security.keys import COMPANY, MAX_KEY_BITS, MIN_KEY_BITS, PERSON
from adapter.security.pkcs11_token import Pin, Session, cryptoki, token_of

# DER of DigestInfo for SHA-256, before the digest (RFC 8017 9.2 note 1).
_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


@dataclass(frozen=True, slots=True, kw_only=True)
class CardKey:
    """An RSA key on a token with its certificate: a Signer, and with ``private_key`` a key that opens what partners
    encrypt. The private half never leaves the token.
    """

    name: str
    owner: str
    certificate: x509.Certificate = field(repr=False)
    chain: tuple[x509.Certificate, ...] = field(default=(), repr=False)
    environment: Environment | None = None
    settings: Pkcs11Settings = field(repr=False)
    pin: Pin = field(repr=False, compare=False)

    def sign(self, data: bytes) -> bytes:
        """RSASSA-PKCS1-v1_5 over SHA-256, made on the token. Raises CardError; then nothing has been signed."""
        token = token_of(self.settings)
        value = token.use(self.pin, lambda held: self._sign(held, data))
        try:
            _public_key(self.certificate).verify(value, data, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            with token.driver.lock:
                token.drop()  # another card's, perhaps: the next look reads the token again
            text, cure = "a card signs with another key than its certificate's", "put the right card in"
            raise CardError(text, code="KEY.PAIR", where=self.name, cure=cure) from None
        return value

    def _sign(self, held: Session, data: bytes) -> bytes:
        mechanism = cryptoki().Mechanism
        if int(mechanism.SHA256_RSA_PKCS) in held.mechanisms:
            return bytes(self._private(held).sign(data, mechanism=mechanism.SHA256_RSA_PKCS, **self._each_time(held)))
        info = _DIGEST_INFO + hashlib.sha256(data).digest()
        return bytes(self._private(held).sign(info, mechanism=mechanism.RSA_PKCS, **self._each_time(held)))

    def _private(self, held: Session) -> Any:
        return find_private(held, self.settings, self.name)

    def _each_time(self, held: Session) -> dict[str, str]:
        """The PIN once more, for a key whose token wants it with each signature (CKA_ALWAYS_AUTHENTICATE)."""
        given = self.pin() if _attribute(self._private(held), "ALWAYS_AUTHENTICATE") else None
        return {"pin": given.decode("utf-8", "replace")} if given is not None else {}

    @property
    def private_key(self) -> CardUnwrapper:
        return CardUnwrapper(self)


@dataclass(frozen=True, slots=True)
class CardUnwrapper:
    """What decryption needs of a private key, done on the token."""

    key: CardKey

    def decrypt(self, ciphertext: bytes, padding: padding.AsymmetricPadding) -> bytes:
        """The unwrapped content key. Raises ValueError for what this key cannot open, CardError when it is away."""
        bad = (cryptoki().EncryptedDataInvalid, cryptoki().EncryptedDataLenRange, cryptoki().DataInvalid)
        chosen, failed = _mechanism(padding), False

        def work(held: Session) -> bytes | None:
            nonlocal failed
            try:
                return bytes(self.key._private(held).decrypt(ciphertext, **chosen, **self.key._each_time(held)))
            except bad:
                return None
            except cryptoki().GeneralError:
                # Some drivers say this of bad ciphertext, some of a card that is gone: a new session tells which.
                if failed:
                    return None
                failed = True
                raise

        found = token_of(self.key.settings).use(self.key.pin, work)
        if found is None:
            raise ValueError("this key does not open it")
        return found


def _mechanism(scheme: padding.AsymmetricPadding) -> dict[str, Any]:
    """The token's words for how a content key was wrapped; raises ValueError for a way that tokens do not know."""
    names = cryptoki()
    if isinstance(scheme, padding.PKCS1v15):
        return {"mechanism": names.Mechanism.RSA_PKCS}
    digests = {"sha1": "SHA_1", "sha256": "SHA256", "sha384": "SHA384", "sha512": "SHA512"}
    digest = getattr(getattr(scheme, "algorithm", None), "name", "")
    inner = getattr(getattr(getattr(scheme, "mgf", None), "_algorithm", None), "name", "")
    if digest not in digests or inner not in digests or getattr(scheme, "_label", None):
        raise ValueError("not on a token")
    parameters = (names.Mechanism[digests[digest]], names.MGF[inner.upper()], None)
    return {"mechanism": names.Mechanism.RSA_PKCS_OAEP, "mechanism_param": parameters}


def find_private(held: Session, settings: Pkcs11Settings, name: str) -> Any:
    """The one private RSA key of that label and identifier; raises CardError for none or several."""
    which = (settings.key_label, settings.key_id)
    if which not in held.keys:
        names = cryptoki()
        template: dict[Any, Any] = {
            names.Attribute.CLASS: names.ObjectClass.PRIVATE_KEY,
            names.Attribute.KEY_TYPE: names.KeyType.RSA,
        }
        if settings.key_label is not None:
            template[names.Attribute.LABEL] = settings.key_label
        if settings.key_id is not None:
            template[names.Attribute.ID] = bytes.fromhex(settings.key_id)
        found = list(held.session.get_objects(template))
        if len(found) != 1:
            text = "no RSA key on the card has this name" if not found else "several keys on the card have this name"
            raise CardError(text, code="KEY.LABEL", where=name, cure="set key_label and key_id as the card has them")
        held.keys[which] = found[0]
    return held.keys[which]


def _attribute(entry: Any, name: str) -> Any:
    try:
        return entry[cryptoki().Attribute[name]]
    except (cryptoki().AttributeTypeInvalid, cryptoki().AttributeSensitive):
        return None


# --- opening ----------------------------------------------------------------------------------------------------------


def load_pkcs11(
    settings: Pkcs11Settings,
    pin: Pin,
    owner: str,
    *,
    name: str,
    environment: Environment | None = None,
    certificate: Path | None = None,
) -> CardKey:
    """The key on the token with its certificate: from the token (same CKA_ID) or, with ``certificate``, from that file.

    ``pin`` gives the PIN when the token asks. Raises CardError when the token, the key or the certificate is not to be
    had, KeyFileError when they will not do, SettingsError when the library is missing.
    """
    cryptoki()
    if owner not in (COMPANY, PERSON):
        raise KeyFileError("a key's owner is 'company' or 'person'", where=name)
    modulus, on_token = token_of(settings).use(pin, lambda held: _read(held, settings, name))
    candidates = on_token if certificate is None else _from_file(certificate)
    own = [one for one in candidates if _belongs(one, modulus)]
    if not own:
        cure = "write the certificate to the card under the key's identifier, or set certificate to its file"
        raise CardError("the key on the card has no certificate", code="KEY.CERTIFICATE", where=name, cure=cure)
    chosen = max(own, key=lambda one: one.not_valid_before_utc)  # a renewed one lies beside the old (P27)
    if not MIN_KEY_BITS <= _public_key(chosen).key_size <= MAX_KEY_BITS:
        raise KeyFileError(f"a signing key has {MIN_KEY_BITS} to {MAX_KEY_BITS} bits", code="KEY.SIZE", where=name)
    return CardKey(
        name=name,
        owner=owner,
        certificate=chosen,
        chain=tuple(_issuers(chosen, (*candidates, *on_token))),
        environment=environment,
        settings=settings,
        pin=pin,
    )


def _read(held: Session, settings: Pkcs11Settings, name: str) -> tuple[int | None, tuple[x509.Certificate, ...]]:
    """The key's modulus (None: the token does not tell) and every certificate on the token that can be read.

    A token that does not tell the modulus is asked for certificates under the key's identifier alone.
    """
    names = cryptoki()
    private = find_private(held, settings, name)
    told = _attribute(private, "MODULUS")
    template = {names.Attribute.CLASS: names.ObjectClass.CERTIFICATE}
    if told is None:
        template[names.Attribute.ID] = _attribute(private, "ID")
    found = []
    for entry in held.session.get_objects(template):
        with suppress(ValueError, TypeError):
            found.append(x509.load_der_x509_certificate(_attribute(entry, "VALUE")))
    return (int.from_bytes(told, "big") if told is not None else None), tuple(found)


def _from_file(path: Path) -> tuple[x509.Certificate, ...]:
    try:
        content = path.read_bytes()
        if b"-----BEGIN" in content:
            return tuple(x509.load_pem_x509_certificates(content))
        return (x509.load_der_x509_certificate(content),)
    except (OSError, ValueError):
        raise KeyFileError("a certificate file cannot be read", code="KEY.CERTIFICATE", where=path.name) from None


def _belongs(certificate: x509.Certificate, modulus: int | None) -> bool:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False
    return isinstance(key, rsa.RSAPublicKey) and modulus in (None, key.public_numbers().n)


def _public_key(certificate: x509.Certificate) -> rsa.RSAPublicKey:
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)  # it was chosen so
    return key


def _issuers(certificate: x509.Certificate, held: tuple[x509.Certificate, ...]) -> Iterator[x509.Certificate]:
    """The issuing certificates beside it, without the root."""
    for _ in range(8):
        above = next((one for one in held if one.subject == certificate.issuer and one.issuer != one.subject), None)
        if above is None:
            return
        yield above
        certificate = above
