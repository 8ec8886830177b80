"""Finds a file of a Hugging Face repository: which commit a revision is, and what the hub says of the file.

`huggingface_hub` asks the hub; the bytes are then fetched as from any web server, so that they are resumed and checked
in the same way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.errors import FetchError

if TYPE_CHECKING:
    from lfbuild.fetch import Network
    from lfbuild.sources.origins import HfOrigin


@dataclass(frozen=True, kw_only=True, slots=True)
class HubFile:
    """A file as the hub has it."""

    url: str
    """Of the commit, so that all parts of a download are of one version."""
    commit: str
    sha256: str | None
    """Known for large files, which the hub keeps by their hash."""
    size_bytes: int | None


def find_hub_file(origin: HfOrigin, *, network: Network) -> HubFile:
    """What the hub says of the file.

    Raises:
        FetchError: there is no such repository, revision or file, it needs a token, or the hub does not answer.
    """
    where = f"hf {origin.describe()}"
    if network.offline:
        raise FetchError(
            where, "is not in the cache, and --offline forbids to fetch it", hint="run once without --offline"
        )
    import huggingface_hub
    from huggingface_hub import errors

    endpoint = network.hf_endpoint
    url = huggingface_hub.hf_hub_url(origin.repo, origin.file, revision=origin.revision, endpoint=endpoint)
    try:
        facts = huggingface_hub.get_hf_file_metadata(url, token=network.hf_token or False, timeout=network.timeout_s)
    except errors.GatedRepoError as error:
        hint = "accept its licence on its web page, and set HF_TOKEN to a token that may read it"
        raise FetchError(where, "needs its licence to be accepted", hint=hint) from error
    except errors.RevisionNotFoundError as error:
        raise FetchError(
            where, f"the repository has no revision '{origin.revision}'", hint="check `revision`"
        ) from error
    except errors.EntryNotFoundError as error:
        raise FetchError(where, f"the repository has no file '{origin.file}'", hint="check `file`") from error
    except errors.RepositoryNotFoundError as error:
        raise FetchError(
            where, "there is no such repository, or it is private", hint="check `hf`, or set HF_TOKEN"
        ) from error
    except errors.HfHubHTTPError as error:
        what = f"the hub answered {error.response.status_code}"
        raise FetchError(where, what, hint="it may need HF_TOKEN, or be in trouble") from error
    except Exception as error:  # each generation of huggingface_hub brings another HTTP library, with its own errors
        raise FetchError(where, f"the hub does not answer ({_words(error)})", hint="check the network") from error
    commit = facts.commit_hash or origin.revision
    return HubFile(
        url=huggingface_hub.hf_hub_url(origin.repo, origin.file, revision=commit, endpoint=endpoint),
        commit=commit,
        sha256=facts.etag if facts.etag and re.fullmatch(r"[0-9a-f]{64}", facts.etag) else None,
        size_bytes=facts.size,
    )


def _words(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
