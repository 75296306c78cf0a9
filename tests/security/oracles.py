"""Other engines that judge the same signatures: signxml, python-xmlsec, the xmlsec1 program and Apache Santuario.

``judge`` asks all that are present. Where one is known to differ from us the table KNOWN says so, with the cause; any
other difference fails the test that made or judged the signature.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from lxml import etree

from adapter.security import oracle
from adapter.security.keys import SigningKey

DS = "http://www.w3.org/2000/09/xmldsig#"
C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
EXC = "http://www.w3.org/2001/10/xml-exc-c14n#"
MORE = "http://www.w3.org/2001/04/xmldsig-more#"
RSA = {
    "sha1": DS + "rsa-sha1",
    "sha256": MORE + "rsa-sha256",
    "sha384": MORE + "rsa-sha384",
    "sha512": MORE + "rsa-sha512",
}
HASH = {
    "sha1": DS + "sha1",
    "sha256": "http://www.w3.org/2001/04/xmlenc#sha256",
    "sha384": MORE + "sha384",
    "sha512": "http://www.w3.org/2001/04/xmlenc#sha512",
}
JARS = ("xmlsec", "slf4j-api", "slf4j-nop", "commons-codec")

# (witness, case) -> (what the witness says, why it is not what we say)
KNOWN: dict[tuple[str, str], tuple[bool, str]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a foreign signature is written. ``content`` is the reference's C14N, "" for none stated."""

    prefix: str = "ds"
    info: str = C14N
    content: str = ""
    digest: str = "sha256"


def _parser() -> etree.XMLParser:
    return etree.XMLParser(huge_tree=True, resolve_entities=False, no_network=True)


# --- the witnesses: document bytes and certificate in, sound or not out -----------------------------------------------


def by_signxml(document: bytes, certificate: x509.Certificate) -> bool:
    return oracle.second_opinion(document, certificate, allow_sha1=True) is None


def verify_with_signxml(document: bytes, certificate: x509.Certificate) -> None:
    """As a user of signxml would, with a pinned certificate; raises when it is not sound."""
    from signxml.verifier import XMLVerifier

    XMLVerifier().verify(document, x509_cert=certificate, parser=_parser())


def xmlsec_verifier(certificate: x509.Certificate) -> Callable[[bytes], None]:
    """python-xmlsec with a loaded key; what it returns raises when the document is not sound."""
    import xmlsec

    key = xmlsec.Key.from_memory(certificate.public_bytes(Encoding.PEM), xmlsec.KeyFormat.CERT_PEM)

    def verify(document: bytes) -> None:
        root = etree.fromstring(document, _parser())
        context = xmlsec.SignatureContext()
        context.key = key
        context.verify(xmlsec.tree.find_node(root, "Signature", DS))

    return verify


def by_xmlsec(document: bytes, certificate: x509.Certificate) -> bool:
    import xmlsec

    try:
        xmlsec_verifier(certificate)(document)
    except (xmlsec.Error, TypeError):
        return False
    return True


def by_xmlsec1(document: bytes, certificate: x509.Certificate) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        file, pem = Path(folder, "document.xml"), Path(folder, "certificate.pem")
        file.write_bytes(document)
        pem.write_bytes(certificate.public_bytes(Encoding.PEM))
        command = ["xmlsec1", "--verify", "--insecure", "--pubkey-cert-pem", str(pem), str(file)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


@functools.cache
def _santuario() -> subprocess.Popen[str] | None:
    return start_santuario("-XX:TieredStopAtLevel=1")


def start_santuario(*options: str) -> subprocess.Popen[str] | None:
    """The witness in a Java process of its own, with these options; None where it cannot be had."""
    jars = [Path("/usr/share/java", f"{name}.jar") for name in JARS]
    source = Path(__file__).parents[1] / "oracles" / "Santuario.java"
    if not (shutil.which("java") and shutil.which("javac") and all(jar.exists() for jar in jars)):
        return None
    folder = tempfile.mkdtemp(prefix="santuario-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = ":".join([*map(str, jars), folder])
    subprocess.run(["javac", "-nowarn", "-cp", path, "-d", folder, str(source)], check=True, capture_output=True)
    started = subprocess.Popen(
        ["java", "-Xshare:auto", *options, "-cp", path, "Santuario"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        bufsize=1,
    )
    atexit.register(started.kill)
    return started


def ask_santuario(*fields: str) -> str:
    process = _santuario()
    assert process is not None
    return ask(process, *fields)


def ask(process: subprocess.Popen[str], *fields: str) -> str:
    """One command to a running witness, and its answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\t".join(fields) + "\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def by_santuario(document: bytes, certificate: x509.Certificate) -> bool:
    with tempfile.NamedTemporaryFile(suffix=".xml") as file:
        file.write(document)
        file.flush()
        return ask_santuario("verify", file.name) == "sound"


Witness = Callable[[bytes, x509.Certificate], bool]
WITNESSES: dict[str, Witness] = {
    "signxml": by_signxml,
    "python-xmlsec": by_xmlsec,
    "xmlsec1": by_xmlsec1,
    "santuario": by_santuario,
}


@functools.cache
def missing(name: str) -> str | None:
    """Why a witness cannot be asked here; None when it can."""
    if name == "python-xmlsec":
        try:
            import xmlsec  # noqa: F401
        except ImportError as error:
            return f"python-xmlsec does not load: {error}"
    if name == "xmlsec1" and shutil.which("xmlsec1") is None:
        return "the program xmlsec1 is not installed"
    if name == "santuario" and _santuario() is None:
        return "java, javac or libxml-security-java is not installed"
    return None


def judge(document: bytes, certificate: x509.Certificate, *, sound: bool, case: str = "") -> list[str]:
    """Ask every witness; raise AssertionError where one differs from ``sound`` and KNOWN does not say so.

    Returns the names of those that were asked.
    """
    asked = []
    for name, witness in WITNESSES.items():
        if missing(name) is not None:
            continue
        expected, cause = KNOWN.get((name, case), (sound, "it is not known to differ"))
        assert witness(document, certificate) is expected, f"{name} on '{case or 'the document'}': {cause}"
        asked.append(name)
    return asked


# --- foreign signatures -----------------------------------------------------------------------------------------------


def xmlsec_signer(key: SigningKey, form: Form) -> Callable[[bytes], bytes]:
    """python-xmlsec with a loaded key, signing in the given form."""
    import xmlsec

    methods = {C14N: xmlsec.Transform.C14N, EXC: xmlsec.Transform.EXCL_C14N}
    private = key.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    loaded = xmlsec.Key.from_memory(private, xmlsec.KeyFormat.PEM)
    loaded.load_cert_from_memory(key.certificate.public_bytes(Encoding.PEM), xmlsec.KeyFormat.PEM)
    rsa = getattr(xmlsec.Transform, f"RSA_{form.digest.upper()}")
    digest = getattr(xmlsec.Transform, form.digest.upper())

    def sign(document: bytes) -> bytes:
        root = etree.fromstring(document, _parser())
        node = xmlsec.template.create(root, methods[form.info], rsa, ns=form.prefix or None)
        root.append(node)
        reference = xmlsec.template.add_reference(node, digest, uri="")
        xmlsec.template.add_transform(reference, xmlsec.Transform.ENVELOPED)
        if form.content:
            xmlsec.template.add_transform(reference, methods[form.content])
        xmlsec.template.add_x509_data(xmlsec.template.ensure_key_info(node))
        context = xmlsec.SignatureContext()
        context.key = loaded
        context.sign(node)
        return etree.tostring(root.getroottree(), encoding="UTF-8", xml_declaration=True)

    return sign


def sign_with_xmlsec(document: bytes, key: SigningKey, form: Form) -> bytes:
    """Sign as python-xmlsec does, in the given form."""
    return xmlsec_signer(key, form)(document)


def sign_with_signxml(document: bytes, key: SigningKey, form: Form) -> bytes:
    """Sign as signxml does, in the given form."""
    from signxml import CanonicalizationMethod, DigestAlgorithm, SignatureMethod, XMLSigner, methods

    signer = XMLSigner(
        method=methods.enveloped,
        signature_algorithm=SignatureMethod[f"RSA_{form.digest.upper()}"],
        digest_algorithm=DigestAlgorithm[form.digest.upper()],
        c14n_algorithm=CanonicalizationMethod(form.info),
    )
    signer.namespaces = {form.prefix or None: DS}
    signer._parser = _parser()
    root = etree.fromstring(document, _parser())
    return etree.tostring(signer.sign(root, key=key.private_key, cert=[key.certificate]))


def sign_with_santuario(document: bytes, key: SigningKey, form: Form) -> bytes:
    """Sign as Santuario does, in the given form."""
    with tempfile.TemporaryDirectory() as folder:
        source, out, private, certificate = (Path(folder, name) for name in ("in.xml", "out.xml", "key.p8", "cert.der"))
        source.write_bytes(document)
        private.write_bytes(key.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
        certificate.write_bytes(key.certificate.public_bytes(Encoding.DER))
        paths = [str(path) for path in (source, out, private, certificate)]
        answer = ask_santuario(
            "sign", *paths, form.prefix, form.info, RSA[form.digest], HASH[form.digest], form.content
        )
        assert answer == "done", answer
        return out.read_bytes()


SIGNERS = {
    "signxml": sign_with_signxml,
    "python-xmlsec": sign_with_xmlsec,
    "santuario": sign_with_santuario,
}
