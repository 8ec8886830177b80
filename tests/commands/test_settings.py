from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lfbuild.commands.settings import CA_VARIABLES, Settings, read_settings
from lfbuild.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Mapping

REPOSITORY = Path(__file__).parents[2]


def _read(environment: Mapping[str, str], *, cache_folder: Path | None = None) -> Settings:
    proxies = {"https": "http://proxy:3128"}
    return read_settings(environment, proxies=proxies, cache_folder=cache_folder, offline=False, now=7.0)


def test_an_empty_environment_gives_defaults() -> None:
    settings = _read({})

    assert settings.epoch == 315532800
    assert (settings.cosmocc, settings.pypi_index, settings.hf_endpoint, settings.ca_file) == (None, None, None, None)
    assert settings.cache_folder.is_absolute()
    assert settings.cache_folder.name == "lfbuild"
    assert settings.jobs == settings.machine.cores >= 1
    assert settings.now == 7.0


def test_the_environment_names_folders_indexes_and_the_epoch() -> None:
    settings = _read(
        {
            "LFBUILD_CACHE": "~/kept",
            "LFBUILD_COSMOCC": "/opt/cosmocc",
            "PIP_INDEX_URL": "https://pip.example/simple",
            "HF_ENDPOINT": "https://hub.example",
            "SOURCE_DATE_EPOCH": "1700000000",
            "PIP_CERT": "/etc/company.pem",
            "PATH": "/opt/bin",
        }
    )

    assert settings.cache_folder == Path.home() / "kept"
    assert settings.cosmocc == Path("/opt/cosmocc")
    assert settings.pypi_index == "https://pip.example/simple"
    assert settings.hf_endpoint == "https://hub.example"
    assert settings.epoch == 1700000000
    assert settings.ca_file == Path("/etc/company.pem")
    assert settings.machine.search_path == "/opt/bin"


def test_our_own_index_variable_comes_before_that_of_pip() -> None:
    environment = {"PIP_INDEX_URL": "https://pip.example", "LFBUILD_PYPI_INDEX": "https://ours.example"}

    assert _read(environment).pypi_index == "https://ours.example"


def test_a_cache_folder_that_was_asked_for_comes_before_the_environment(tmp_path: Path) -> None:
    assert _read({"LFBUILD_CACHE": "/elsewhere"}, cache_folder=tmp_path).cache_folder == tmp_path


def test_a_file_cannot_be_the_cache_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(HostError) as caught:
        _read({}, cache_folder=tmp_path / "file")

    assert str(caught.value) == f"{tmp_path / 'file'}: is not a folder, so no cache can be there"


def test_the_network_is_handed_everything_and_shows_no_password() -> None:
    settings = _read({"PIP_INDEX_URL": "https://me:secret@pip.example", "HF_TOKEN": "secret"})

    network = settings.network()

    assert network.proxies == {"https": "http://proxy:3128"}
    assert (network.pypi_index, network.hf_token) == ("https://me:secret@pip.example", "secret")
    assert "secret" not in repr(settings)
    assert "secret" not in repr(network)


def test_every_variable_that_is_read_stands_on_the_page_of_the_environment() -> None:
    page = set(re.findall(r"`([A-Z_]+)`", (REPOSITORY / "docs/environment.md").read_text(encoding="utf-8")))
    patterns = {
        "builder/lfbuild/**/*.py": r"""\benviron(?:ment)?(?:\.get\(|\[)"([A-Z_]+)""",
        "builder/lfbuild/formats/shell.py": r"\$\{([A-Z_]+)[-:]",
        "stubs/**/*.c": r"""(?:getenv\(|variable\(|_VARIABLE |\{)"([A-Z_]{4,})\"""",
    }
    read = set(CA_VARIABLES)
    for glob, pattern in patterns.items():
        for path in REPOSITORY.glob(glob):
            read |= set(re.findall(pattern, path.read_text(encoding="utf-8")))

    assert {"SOURCE_DATE_EPOCH", "LFBUILD_DEBUG", "LFBUILD_NO_ARGS", "LOCALAPPDATA", "TMPDIR"} <= read
    assert read - page == set()
