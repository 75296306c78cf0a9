"""Settings of mail: the common one and the tenants' own (P22, P23)."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from adapter.config import read_settings
from adapter.errors import SettingsError


def mail(user: str = "solvang", domain: str = "testedi.nhn.no", **more: Any) -> dict[str, Any]:
    server = {"host": "mail.example.org", "user": user}
    return {"address": f"{user}@{domain}", "smtp": dict(server), "imap": dict(server), **more}


def settings(common: Any = None, *own: Any) -> dict[str, Any]:
    tenants = [
        {"name": f"t{number}", "organisation_number": "310045101", "her_ids": [number], "mail": one}
        for number, one in enumerate(own or (None,), 1)
    ]
    names = ("fagsystem", "mellomvare", "msh")
    software = {f"{name}{end}": "x" for name in names for end in ("", "_version")}
    plain = {"environment": "test", "software": software, "tenant": tenants, "mail": common}
    return {key: value for key, value in plain.items() if value is not None}


def read(common: Any = None, *own: Any) -> Any:
    plain = settings(common, *own)
    for tenant in plain["tenant"]:
        if tenant["mail"] is None:
            del tenant["mail"]
    return read_settings(copy.deepcopy(plain), Path())


def test_p23_a_tenant_may_have_mail_of_its_own_beside_the_common_one() -> None:
    found = read(mail(), None, mail("second"))
    assert [tenant.mail and tenant.mail.address for tenant in found.tenant] == [None, "second@testedi.nhn.no"]


def test_p23_tenants_may_share_all_of_their_mail() -> None:
    read(None, mail(), mail())
    read(mail(), mail())


WRONG = [
    (mail("b"), mail("b", delete_after_h=1.0), "tenant t2 mail"),  # one mailbox, two opinions
    (mail("b"), mail("B", smtp={"host": "other"}), "tenant t2 mail"),  # one address
    (mail(), mail("b", domain="edi.nhn.no"), "tenant t2 mail.address"),
    (mail(), mail("b", pop3={"host": "x", "user": "b"}), "tenant t2 mail"),
    (mail(), {key: value for key, value in mail("b").items() if key != "imap"}, "tenant t2 mail"),
    (mail(), mail("b", smtp={"host": "x", "security": "ssl"}), "tenant t2 mail.smtp.security"),
    (mail(), mail("b", smtp={"host": "x", "idle_s": 0}), "tenant t2 mail.smtp.idle_s"),
    (mail(), mail("b", delete_after_h=0), "tenant t2 mail.delete_after_h"),
    (mail(), mail("b", imap={"host": "mail.nhn.no", "user": "b"}), "tenant t2 mail.imap.host"),
]


@pytest.mark.parametrize(("first", "second", "where"), WRONG, ids=[where for *_, where in WRONG])
def test_p22_p23_mail_that_mixes_or_cannot_work_is_refused(first: Any, second: Any, where: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(None, first, second)
    assert caught.value.where == where


def test_p22_the_common_mail_is_checked_as_before() -> None:
    with pytest.raises(SettingsError) as caught:
        read(mail(domain="edi.nhn.no"))
    assert (caught.value.code, caught.value.where) == ("SETTINGS.MIX", "mail.address")
