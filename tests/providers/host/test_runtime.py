"""The runtime directory is the user's own, or it is not used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chaosrun.errors import Refused
from chaosrun.providers.host import runtime


def test_it_is_made_for_its_user_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runtime.VARIABLE, str(tmp_path / "a" / "b"))
    assert runtime.runtime_directory() == tmp_path / "a" / "b"
    assert not (tmp_path / "a").exists()
    made = runtime.runtime_directory(create=True)
    assert made.stat().st_mode & 0o777 == 0o700
    assert runtime.runtime_directory(create=True) == made


@pytest.mark.parametrize("wrong", ["open to others", "a link", "a file"])
def test_one_that_others_could_change_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    place, own = tmp_path / "place", tmp_path / "own"
    own.mkdir(mode=0o700)
    if wrong == "open to others":
        place.mkdir()
        place.chmod(0o777)
    elif wrong == "a link":
        place.symlink_to(own)
    else:
        place.touch()
    monkeypatch.setenv(runtime.VARIABLE, str(place))
    for create in (False, True):
        with pytest.raises(Refused, match=r"not a directory of ours alone|File exists"):
            runtime.runtime_directory(create=create)


def test_it_does_not_depend_on_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(runtime.VARIABLE)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/somewhere")
    if os.geteuid() == 0:
        assert runtime.runtime_directory() == Path("/run/chaosrun")
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    assert runtime.runtime_directory() == Path("/tmp/chaosrun-54321")


@pytest.mark.parametrize(
    ("text", "address"), [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0))]
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert runtime.parse_address(text) == address
