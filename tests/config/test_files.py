"""What was read once can be loaded again: the same bytes, the same names, the same mistakes."""

import errno
import pickle
from pathlib import Path

import pytest

from gateway.config import files as files_module
from gateway.config.files import Disk, Kept
from gateway.config.load import load
from tests.support.runtimes import write_config

MAIN = """\
version: 1
admin: {token: "${file:token}"}
include: [more/*.yaml]
routes: [{name: a, match: {path: /a}, respond: {text: main}}]
"""


def configuration(folder: Path) -> Path:
    (folder / "more").mkdir()
    (folder / "more" / "b.yaml").write_text("routes: [{name: b, respond: {text: more}}]\n")
    (folder / "token").write_text("geheim\n")
    return write_config(folder, MAIN)


def test_what_was_kept_is_loaded_whatever_is_on_the_disk_now(tmp_path: Path) -> None:
    path = configuration(tmp_path)
    first = load(path, {})
    assert first.spec is not None, first.problems
    path.write_text("version: 2\n")
    (tmp_path / "more" / "a.yaml").write_text("routes: [{name: c}]\n")
    (tmp_path / "more" / "b.yaml").unlink()
    (tmp_path / "token").unlink()
    again = load(path, {}, pickle.loads(pickle.dumps(first.kept)))
    assert again.problems == ()
    assert again.spec == first.spec
    assert (again.files, again.sources, again.secrets) == (first.files, first.sources, first.secrets)
    assert again.kept == first.kept
    assert load(path, {}).spec is None


def test_mistakes_are_kept_too(tmp_path: Path) -> None:
    path = write_config(tmp_path, 'version: 1\nname: "${file:none}"\nadmin: {token: "${file:large}"}\n')
    (tmp_path / "large").write_bytes(b"x" * ((1 << 20) + 1))
    first = load(path, {})
    assert [problem.message for problem in first.problems] == [
        "cannot read 'none': no such file or directory",
        "'large' is larger than 1MiB",
    ]
    (tmp_path / "none").write_text("edge")
    (tmp_path / "large").write_text("small")
    assert load(path, {}, first.kept).problems == first.problems
    assert load(path, {}).problems == ()


def test_what_was_not_kept_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = configuration(tmp_path)
    (problem,) = load(path, {}, Kept()).problems
    assert problem.message == "cannot read the file: it is not among the files that were kept"


def test_a_file_is_read_once(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("1")
    disk = Disk()
    assert disk.read(file) == b"1"
    file.write_text("2")
    assert disk.read(file) == b"1"
    assert disk.matches("*", tmp_path) == (file,)
    (tmp_path / "b").write_text("")
    assert disk.matches("*", tmp_path) == (file,)


def test_files_have_a_limit_one_by_one_and_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "MOST_BYTES", 10)
    for name in "ab":
        (tmp_path / name).write_text("123456")
    disk = Disk()
    with pytest.raises(OSError, match="too large") as caught:
        disk.read(tmp_path / "a", 5)
    assert caught.value.errno == errno.EFBIG
    assert disk.read(tmp_path / "a", 6) == b"123456"
    with pytest.raises(OSError, match="too large"):
        disk.read(tmp_path / "b", 6)
    assert disk.kept().size == 6
    assert "123456" not in repr(disk.kept())


def test_a_second_look_sees_what_would_be_loaded_otherwise(tmp_path: Path) -> None:
    path = configuration(tmp_path)
    kept = load(path, {}).kept
    assert kept.looked_at_again() == kept
    for change in (
        lambda: path.write_text(MAIN + "\n"),
        lambda: (tmp_path / "token").write_text("anders"),
        lambda: (tmp_path / "more" / "c.yaml").write_text(""),
        lambda: (tmp_path / "more" / "b.yaml").unlink(),
    ):
        change()
        assert kept.looked_at_again() != kept
        kept = load(path, {}).kept
        assert kept.looked_at_again() == kept
    (tmp_path / "unrelated").write_text("")
    assert kept.looked_at_again() == kept
