"""Settings of the mail road: one way in, sound words and numbers, no mix of environments (P22)."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from adapter.config import ImapSettings, MailSettings, Secret, Settings, SmtpSettings, read_settings
from adapter.errors import SettingsError

NAMES = ("fagsystem", "mellomvare", "msh")
SOFTWARE = dict.fromkeys((*NAMES, *(f"{name}_version" for name in NAMES)), "1")


def settings(mail: dict[str, Any] | None, environment: str = "test", **more: object) -> Settings:
    tenant = {"name": "a", "organisation_number": "310045101", "her_ids": [8091301]}
    plain = {"environment": environment, "software": SOFTWARE, "tenant": [tenant], **more}
    return read_settings(plain if mail is None else {**plain, "mail": mail}, Path())


def mail(**more: object) -> dict[str, Any]:
    found: dict[str, Any] = {"address": "a@testedi.nhn.no", "smtp": {"host": "127.0.0.1"}, "imap": {"host": "::1"}}
    return {key: value for key, value in {**found, **more}.items() if value is not None}


def test_without_the_sections_there_is_no_mail_road() -> None:
    assert (settings(None).mail, settings(None).ebms_http) == (None, None)


def test_a_host_and_an_address_are_enough_for_mail() -> None:
    found = settings(mail()).mail
    assert found == MailSettings(
        address="a@testedi.nhn.no", smtp=SmtpSettings(host="127.0.0.1"), imap=ImapSettings(host="::1")
    )
    assert found is not None
    assert (found.smtp.security, found.smtp.password) == ("starttls", Secret())


@pytest.mark.parametrize("more", [{"imap": None}, {"pop3": {"host": "x"}}])
def test_mail_comes_in_one_way(more: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"by imap or by pop3 \[mail\]"):
        settings(mail(**more))


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"smtp": {"host": "x", "security": "ssl"}}, "mail.smtp.security"),
        ({"imap": {"host": "x", "read_timeout_s": 0}}, "mail.imap.read_timeout_s"),
        ({"imap": None, "pop3": {"host": "x", "port": 0}}, "mail.pop3.port"),
        ({"delete_after_h": -1.0}, "mail.delete_after_h"),
        ({"smtp": {"host": "x", "pasword": {}}}, "settings.mail.smtp.pasword"),
        ({"imap": {"host": "[::1"}}, "mail.imap.host"),
    ],
)
def test_a_faulty_mail_setting_names_its_place(more: dict[str, Any], where: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(mail(**more))
    assert caught.value.where == where


def test_a_faulty_number_of_the_http_road_names_its_place() -> None:
    with pytest.raises(SettingsError, match="above zero") as caught:
        settings(None, ebms_http={"total_timeout_s": 0})
    assert caught.value.where == "ebms_http.total_timeout_s"


@pytest.mark.parametrize(
    ("environment", "address", "refused"),
    [
        ("test", "a@edi.nhn.no", True),
        ("test", "a@testedi.nhn.no", False),
        ("test", "a@samsvar.nhn.no", False),
        ("production", "a@EDI.nhn.no", False),
        ("production", "a@TestEdi.nhn.no", True),
        ("production", "a@samsvar.nhn.no", True),
        ("production", "a@example.org", False),
    ],
)
def test_p22_an_edi_address_of_the_other_environment_refuses_to_start(
    environment: str, address: str, refused: bool
) -> None:
    if refused:
        with pytest.raises(SettingsError) as caught:
            settings(mail(address=address), environment)
        assert (caught.value.code, caught.value.where) == ("SETTINGS.MIX", "mail.address")
    else:
        assert settings(mail(address=address), environment).mail is not None


def test_p22_a_mail_host_of_the_other_environment_refuses_to_start() -> None:
    with pytest.raises(SettingsError) as caught:
        settings(mail(smtp={"host": "mail.nhn.no"}))
    assert (caught.value.code, caught.value.where) == ("SETTINGS.MIX", "mail.smtp.host")


def test_the_commented_sections_of_the_example_are_true() -> None:
    example = (Path(__file__).parents[1] / "config" / "adapter.toml").read_text("utf-8")
    start, end = example.index("#[mail]"), example.index("# The address register")
    lines = [line[1:] for line in example[start:end].splitlines() if re.match(r"#(\[|\w+ = )", line)]
    found = tomllib.loads("\n".join(lines))
    pop3 = found["mail"].pop("pop3")
    read = settings(found["mail"], ebms_http=found["ebms_http"])
    assert read.mail is not None
    for shown, there in ((found["mail"]["smtp"], SmtpSettings), (found["mail"]["imap"], ImapSettings)):
        assert set(shown) == {field.name for field in fields(there)}  # every key is shown
    assert settings(mail(imap=None, pop3=pop3)).mail is not None
    for section in (read.mail.smtp, read.mail.imap, read.ebms_http):
        for field in fields(section):  # what the example shows as a number is the default
            if isinstance(getattr(section, field.name), float):
                assert getattr(section, field.name) == field.default, field.name
