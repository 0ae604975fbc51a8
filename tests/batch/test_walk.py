"""Which files of a folder are meant."""

import os
from pathlib import Path

import pytest

from arpc_codec.batch import walk
from arpc_codec.errors import ArpcError, UsageError
from arpc_codec.imageio import suffixes


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_sorted_by_suffix_without_hidden_names(tmp_path: Path) -> None:
    touch(tmp_path, "z.png", "B.JPG", "a.txt", ".b.png", "sub/c.png", "sub/.d/e.png", "a.png/f.png", "png")
    jobs = walk([tmp_path], {".png", ".jpg"}, ".arpc")
    assert [job.source for job in jobs] == ["B.JPG", "z.png", "a.png/f.png", "sub/c.png"]
    assert [job.target for job in jobs] == ["B.arpc", "z.arpc", "a.png/f.arpc", "sub/c.arpc"]
    assert [job.path for job in jobs] == [tmp_path / job.source for job in jobs]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_pipes_in_folders_are_passed_over_and_links_that_lead_nowhere_are_not(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "nothing.png")
    assert [job.source for job in walk([tmp_path], {".png"}, ".arpc")] == ["a.png", "link.png"]
    assert [job.source for job in walk([tmp_path / "pipe.png"], {".png"}, ".arpc")] == ["pipe.png"]


def test_files_that_are_named_have_any_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.png", ".b.scan")
    jobs = walk([tmp_path / "in", tmp_path / ".b.scan", "missing"], {".png"}, ".arpc")
    assert [(job.source, job.target) for job in jobs] == [
        ("a.png", "a.arpc"),
        (".b.scan", ".b.arpc"),
        ("missing", "missing.arpc"),
    ]


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.png", "other/b.png")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "other" / "b.png")
    assert [job.source for job in walk([tmp_path / "in"], {".png"}, ".x")] == ["a.png", "link.png"]


def test_two_files_with_one_result_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "in/sub/a.png", "in/sub/a.jpg", "other/sub/a.png")
    with pytest.raises(UsageError, match=r"a.jpg and .*a.png would both become sub/a.arpc"):
        walk([tmp_path / "in"], {".png", ".jpg"}, ".arpc")
    with pytest.raises(UsageError, match="would both become"):
        walk([tmp_path / "in", tmp_path / "other"], {".png"}, ".arpc")


def test_results_whose_names_differ_in_case_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are one file on Windows, and two elsewhere."""
    touch(tmp_path, "in/a.png", "in/A.jpg")
    assert len(walk([tmp_path / "in"], {".png", ".jpg"}, ".arpc")) == 2
    monkeypatch.setattr(os.path, "normcase", str.lower)
    with pytest.raises(UsageError, match="would both become"):
        walk([tmp_path / "in"], {".png", ".jpg"}, ".arpc")


def test_a_folder_without_files_says_what_was_looked_for(tmp_path: Path) -> None:
    touch(tmp_path, "a.txt")
    with pytest.raises(ArpcError, match=r"ends in \.jpg \.png"):
        walk([tmp_path], {".png", ".jpg"}, ".arpc")


def test_suffixes_of_pictures() -> None:
    assert {".png", ".jpg", ".jpeg", ".webp", ".tif", ".ppm"} < suffixes() < suffixes(exact=True)
    assert not suffixes(exact=True) & {".eps", ".pdf", ".mpg", ".arpc", ".txt"}
