import base64
import hashlib
import hmac
import stat
from pathlib import Path

import pytest

from idp.keys.master_key import MasterKey, MasterKeyError, load_master_key, write_new_master_key


def test_a_written_master_key_is_the_one_that_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "master.key"
    written = write_new_master_key(file)
    assert load_master_key(file).secret == written.secret


def test_the_file_is_one_line_of_base64url_that_its_owner_alone_reads(tmp_path: Path) -> None:
    file = tmp_path / "master.key"
    written = write_new_master_key(file)
    line = file.read_text()
    assert line.endswith("\n")
    assert len(line) == 44
    assert base64.urlsafe_b64decode(line.strip() + "=") == written.secret
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_two_new_master_keys_differ(tmp_path: Path) -> None:
    assert write_new_master_key(tmp_path / "1").secret != write_new_master_key(tmp_path / "2").secret


def test_an_existing_master_key_is_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "master.key"
    before = write_new_master_key(file)
    with pytest.raises(MasterKeyError, match="exists already"):
        write_new_master_key(file)
    assert load_master_key(file).secret == before.secret


def test_a_missing_master_key_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError, match="idp keys new-master-key"):
        load_master_key(tmp_path / "master.key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o666])
def test_a_master_key_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "master.key"
    write_new_master_key(file)
    file.chmod(mode)
    with pytest.raises(MasterKeyError, match="chmod 600"):
        load_master_key(file)


_VALID = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n",
        _VALID[:-2],
        _VALID + "AAAA",
        _VALID + "=",
        _VALID + "\n\n",
        _VALID + "\r\n",
        " " + _VALID,
        _VALID[:-1] + "9",
        _VALID + "\n" + _VALID,
        "+/" + _VALID[2:],
        "é" * 43,
        "A" * 5000,
    ],
)
def test_anything_but_32_bytes_on_one_line_is_refused_and_not_shown(tmp_path: Path, content: str) -> None:
    file = tmp_path / "master.key"
    file.touch(mode=0o600)
    file.write_text(content)
    with pytest.raises(MasterKeyError, match="is not a master key") as refused:
        load_master_key(file)
    assert not content.strip() or content.strip() not in str(refused.value)


def test_a_folder_is_no_master_key(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError, match="cannot be read"):
        load_master_key(tmp_path)


def test_a_file_in_the_way_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "secrets").touch()
    with pytest.raises(MasterKeyError, match="folder cannot be made"):
        write_new_master_key(tmp_path / "secrets" / "master.key")


def test_the_secret_is_not_in_the_representation() -> None:
    key = MasterKey(b"s" * 32)
    assert "ssss" not in repr(key)
    assert str(key) == "MasterKey()"


def test_a_secret_of_another_length_is_no_master_key() -> None:
    with pytest.raises(MasterKeyError, match="32 bytes"):
        MasterKey(b"short")


def test_derivation_is_hkdf_sha256_for_one_purpose() -> None:
    key = MasterKey(bytes(range(32)))
    # RFC 5869 §2.2, §2.3 by hand: extract with a salt of zeros, expand one block.
    extracted = hmac.digest(bytes(32), bytes(range(32)), hashlib.sha256)
    assert key.derive("csrf") == hmac.digest(extracted, b"idp csrf\x01", hashlib.sha256)
    assert key.derive("csrf", 16) == key.derive("csrf")[:16]
    assert key.derive("csrf") != key.derive("grants")


def test_key_id_and_fingerprint_name_a_key_without_giving_it_away() -> None:
    key = MasterKey(bytes(range(32)))
    assert len(key.key_id) == 2
    assert len(key.fingerprint) == 32
    assert key.fingerprint != MasterKey(bytes(range(1, 33))).fingerprint
    assert hashlib.sha256(key.secret).hexdigest()[:4] not in {key.key_id.hex(), key.fingerprint[:4]}
