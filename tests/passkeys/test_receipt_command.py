import asyncio
import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from idp import cli
from idp.storage import tables
from tests.passkeys.site import PasskeySite
from tests.support import databases
from tests.support.frozen_clock import FrozenClock


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as leaving:
        cli.main(arguments)
    printed = capsys.readouterr()
    return leaving.value.code, printed.out, printed.err


async def confirmed(url: str, *, is_spoilt: bool = False) -> str:
    """Confirm the removal of a passkey that is then gone; answer the receipt."""
    database = databases.open_for_test(url)
    site = PasskeySite(database, FrozenClock())
    person = await site.person()
    operation = await person.browser.ask("passkey.remove", credential_id="AA", name="Old key", left="2")
    assert (await person.browser.confirm(operation)).status_code == 200
    await site.execute(sa.delete(tables.credentials))
    if is_spoilt:
        await site.execute(sa.update(tables.confirmation_receipts).values(signature=b"forged"))
    await site.close()
    await database.close()
    return operation


@pytest.mark.parametrize("is_spoilt", [False, True])
def test_a_receipt_is_verified_long_after_its_passkey_is_gone(
    sqlite_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_spoilt: bool,
) -> None:

    loop = asyncio.new_event_loop()
    operation = loop.run_until_complete(confirmed(sqlite_url, is_spoilt=is_spoilt))
    loop.close()
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IDP_DATABASE_URL", sqlite_url)

    code, out, err = run(capsys, "audit", "verify-receipt", operation, "--json")

    if is_spoilt:
        assert code == 1
        assert err == f"idp: the receipt {operation} is not genuine (signature_not_verified)\n"
        return
    assert code == 0
    told = json.loads(out)
    assert told["operation"] == "passkey.remove"
    assert told["parameters"] == {"credential_id": "AA", "left": "2", "name": "Old key"}
    assert run(capsys, "audit", "verify-receipt", "A" * 22)[0] == 1
