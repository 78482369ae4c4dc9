"""Files of credentials are found beside the configuration."""

from pathlib import Path

import pytest

from gateway.auth.files import read_beside


def test_read(tmp_path: Path) -> None:
    (tmp_path / "keys.yaml").write_bytes(b"keys: []\r\n")

    assert read_beside(tmp_path, "keys.yaml") == read_beside(Path("/"), str(tmp_path / "keys.yaml")) == b"keys: []\r\n"


def test_a_missing_file_is_named_with_its_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"'keys.yaml' cannot be read \(No such file.*{tmp_path}"):
        read_beside(tmp_path, "keys.yaml")
    with pytest.raises(ValueError, match="Is a directory"):
        read_beside(tmp_path, ".")
