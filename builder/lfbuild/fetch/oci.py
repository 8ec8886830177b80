"""A registry of container images that keeps releases: one tag, one release, one layer a file.

    oci://HOST[:PORT]/REPOSITORY:TAG/NAME        a file of the release under that tag

Reading asks for the layer over HTTP, so ranges, retries and checks are those of `fetch.parallel`: only blocks that
changed move. Writing is left to the client of the ORAS project, which knows registries' ways to sign in; the tag is
set last, so at every moment it names a release that is whole. Both ask as `docker login` has it.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import unquote, urlencode

from urllib3 import exceptions

from lfbuild.errors import FetchError, FormatError, ToolError
from lfbuild.fetch.answers import NotThereError
from lfbuild.fetch.connection import Connections, PassingError, in_words, is_elsewhere
from lfbuild.fetch.docker_login import basic_login
from lfbuild.fetch.network import without_secrets
from lfbuild.fetch.remote import Access

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import urllib3

    from lfbuild.fetch.network import Network

ARTIFACT_TYPE: Final = "application/vnd.lfbuild.release.v1"
FILE_TYPE: Final = "application/vnd.lfbuild.file.v1"
TITLE: Final = "org.opencontainers.image.title"
MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
_EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"
_EMPTY: Final = b"{}"
_MOST_MANIFEST_BYTES: Final = 4 << 20
_CHUNKED_FROM_BYTES: Final = 32 << 20
"""Larger files go in pieces: the client has a piece in memory at once."""
_CHUNK_BYTES: Final = 16 << 20
_ADDRESS = re.compile(
    r"oci://(?P<host>[A-Za-z0-9.-]+(?::[0-9]{1,5})?)/(?P<repository>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r":(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127})(?:/(?P<name>[^/]*))?"
)
_CHALLENGE = re.compile(r'([a-z]+)="([^"]*)"')
_HINT: Final = "docker login HOST tells a registry who asks"


@dataclass(frozen=True, kw_only=True, slots=True)
class OciAddress:
    """A release in a registry, or a file of it."""

    host: str
    repository: str
    tag: str
    name: str = ""

    @classmethod
    def parse(cls, url: str) -> Self:
        """The parts of an address.

        Raises:
            FetchError: it is none.
        """
        found = _ADDRESS.fullmatch(url)
        if found is None:
            raise FetchError(without_secrets(url), "is no address in a registry", hint="oci://HOST/REPOSITORY:TAG")
        return cls(**found.groupdict(default="") | {"name": unquote(found["name"] or "")})

    @property
    def base(self) -> str:
        """The repository's own address; a registry on this machine is asked without encryption, as Docker does."""
        is_here = self.host.partition(":")[0] in ("localhost", "127.0.0.1")
        return f"{'http' if is_here else 'https'}://{self.host}/v2/{self.repository}"

    def __str__(self) -> str:
        return f"oci://{self.host}/{self.repository}:{self.tag}{f'/{self.name}' if self.name else ''}"


class Registries:
    """What is known of registries for as long as one fetcher lives: tokens, and what tags mean."""

    def __init__(self, connections: Connections, network: Network) -> None:
        self._connections, self._network = connections, network
        self._lock, self._signing_in = threading.Lock(), threading.Lock()
        self._authorization: dict[str, str] = {}
        """What each repository wants to hear, by its address."""
        self._layers: dict[OciAddress, dict[str, str]] = {}

    def access(self, url: str) -> Access:
        """How the layer is asked for that an oci:// address means.

        Raises:
            FetchError: it is none.
        """
        address = OciAddress.parse(url)
        return Access(
            sign=lambda _: self.blob(url),
            headers=lambda: self.headers(url),
            sign_in=partial(self._sign_in_anew, address),
        )

    def blob(self, url: str) -> str:
        """Address of the layer that an oci:// address means.

        Raises:
            FetchError: there is none, or the registry refuses. FormatError: the tag is no release.
            PassingError: it may work when it is tried again.
        """
        address = OciAddress.parse(url)
        release = replace(address, name="")
        with self._lock:
            layers = self._layers.get(release)
        if layers is None:
            layers = self._read_layers(release)
            with self._lock:
                self._layers[release] = layers
        if address.name not in layers:
            raise NotThereError(str(address), "is not in the release under this tag", hint="check the address")
        return f"{address.base}/blobs/{layers[address.name]}"

    def headers(self, url: str) -> dict[str, str]:
        """What a request for a layer has to say of who asks."""
        with self._lock:
            value = self._authorization.get(OciAddress.parse(url).base)
        return {"Authorization": value} if value else {}

    def _read_layers(self, address: OciAddress) -> dict[str, str]:
        """Digests of the files under a tag, by their names."""
        data = self._get(address, f"{address.base}/manifests/{address.tag}", {"Accept": MANIFEST_TYPE})
        try:
            manifest = json.loads(data)
            layers = {
                str(layer["annotations"][TITLE]): _digest(layer["digest"])
                for layer in manifest["layers"]
                if TITLE in layer.get("annotations", {})
            }
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise FormatError(str(address), "is no release of lfbuild's: its manifest has no named files") from error
        return layers

    def _get(self, address: OciAddress, url: str, headers: dict[str, str]) -> bytes:
        """A small answer; once more when the registry has said how it wants to be asked."""
        for _ in range(2):
            response, answered = self._connections.get(url, headers | self.headers(str(address)))
            try:
                if response.status == 200:
                    return self._read(response, address)
                challenge = response.headers.get("WWW-Authenticate", "")
            finally:
                response.close()
            if response.status != 401 or is_elsewhere(answered, url) or not self._sign_in(address, challenge):
                break
        if response.status == 404:
            raise NotThereError(str(address), "is not there", hint="check the address")
        if response.status in (429, 500, 502, 503, 504):
            raise PassingError(f"the registry answers {response.status}")
        raise FetchError(str(address), f"the registry refuses ({response.status})", hint=_HINT)

    def _read(self, response: urllib3.BaseHTTPResponse, address: OciAddress) -> bytes:
        """A small body."""
        try:
            return bytes(response.read(_MOST_MANIFEST_BYTES))
        except exceptions.HTTPError as error:
            raise in_words(error, where=str(address), network=self._network) from error

    def _sign_in_anew(self, address: OciAddress, said: Mapping[str, str], challenge: str) -> bool:
        """Tokens expire in the middle of a download; the first connection that is refused signs in for all."""
        with self._signing_in:
            return self.headers(str(address)) != said or self._sign_in(address, challenge)

    def _sign_in(self, address: OciAddress, challenge: str) -> bool:
        """Have what the registry wants to hear; False where nothing is at hand."""
        login = basic_login(address.host, self._network.environment)
        if challenge.startswith("Bearer "):
            value = f"Bearer {self._token(address, dict(_CHALLENGE.findall(challenge)), login)}"
        elif challenge.lower().startswith("basic ") and login:
            value = login
        else:
            return False
        with self._lock:
            is_news = self._authorization.get(address.base) != value
            self._authorization[address.base] = value
        return is_news

    def _token(self, address: OciAddress, challenge: Mapping[str, str], login: str | None) -> str:
        """What registries ask of readers of public repositories too, who are nobody then."""
        realm = challenge.get("realm", "")
        if not realm.startswith("https://"):
            raise FetchError(str(address), "the registry sends elsewhere to sign in, and not over https")
        query = {name: challenge[name] for name in ("service", "scope") if name in challenge}
        said = {"Authorization": login} if login else {}
        response, _ = self._connections.get(f"{realm}?{urlencode(query)}", said)
        try:
            answer = json.loads(self._read(response, address)) if response.status == 200 else {}
        except (ValueError, RecursionError):
            answer = {}
        finally:
            response.close()
        token = answer.get("token") or answer.get("access_token") if isinstance(answer, dict) else None
        if not isinstance(token, str):
            what = "the registry lets nobody read it who is not signed in"
            raise FetchError(str(address), what, hint=_HINT)
        return token


def push_target(url: str, network: Network) -> OciAddress:
    """Where a release is going to be put; what keeps it from there is told before it is made.

    Raises:
        ToolError: the client is not installed.
        FetchError: it is no address in a registry, or the network may not be used.
    """
    address = OciAddress.parse(url)
    _refuse_without_client(address, network)
    return address


def push(
    files: Sequence[Path],
    address: OciAddress,
    *,
    annotations: Mapping[str, str],
    network: Network,
    on_bytes: Callable[[int, str], None] = lambda _size, _name: None,
) -> str:
    """Put files into the registry, and then the tag on them; returns the digest of what the tag names.

    Raises:
        ToolError: the client is not installed.
        FetchError: the registry is down, or refuses. The tag is as it was then.
    """
    _refuse_without_client(address, network)
    client, container = _client(address, network, challenge=_probe(address, network))
    layers = []
    for path in files:
        layer = _layer(path)
        _told(address, partial(_upload, client, container, path, layer))
        layers.append(layer)
        on_bytes(layer["size"], path.name)
    config = {"mediaType": _EMPTY_TYPE, "digest": _sha256(_EMPTY), "size": len(_EMPTY)}
    _told(address, lambda: _upload_empty(client, container, config))
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": config,
        "layers": layers,
        "annotations": dict(annotations),
    }
    # Beyond this point the release is under its tag.
    answer = _told(address, lambda: client.upload_manifest(manifest, container))
    return str(answer.headers.get("Docker-Content-Digest", ""))


def _refuse_without_client(address: OciAddress, network: Network) -> None:
    if network.offline:
        raise FetchError(str(address), "--offline forbids to put it there", hint="run without --offline")
    if find_spec("oras") is None:
        hint = 'pip install "lfbuild[oci]"'
        raise ToolError("oras", "this Python package is needed for oci:// addresses", hint=hint)


def _client(address: OciAddress, network: Network, *, challenge: str) -> tuple[Any, Any]:
    """The client, and the tag in its own words. It asks for tokens, with retries, even where none are given."""
    import oras.client
    import oras.container

    is_basic = challenge.lower().startswith("basic ")
    client = oras.client.OrasClient(
        hostname=address.host,
        insecure=address.base.startswith("http:"),
        tls_verify=str(network.ca_file) if network.ca_file else True,
        auth_backend="basic" if is_basic else "token",
    )
    container = oras.container.Container(f"{address.host}/{address.repository}:{address.tag}")
    client.auth.load_configs(container)
    if is_basic and not getattr(client.auth, "_basic_auth", None):
        raise FetchError(str(address), "the registry lets nobody in who is not signed in", hint=_HINT)
    return client, container


def _probe(address: OciAddress, network: Network) -> str:
    """One request of our own first: the client would ask a registry that is down for two minutes.

    Returns how the registry wants to know who asks (RFC 7235), or nothing if it does not.
    """
    url = f"{address.base.partition('/v2/')[0]}/v2/"
    try:
        response, _ = Connections(network).get(url, {})
    except PassingError as trouble:
        raise FetchError(
            str(address), trouble.what, hint="check the address, and whether the registry runs"
        ) from trouble
    response.close()
    if response.status not in (200, 401):
        raise FetchError(str(address), f"is no registry: it answers {response.status}", hint="check the address")
    return response.headers.get("WWW-Authenticate", "") if response.status == 401 else ""


def _upload(client: Any, container: Any, path: Path, layer: dict[str, Any]) -> Any:
    chunked = layer["size"] >= _CHUNKED_FROM_BYTES
    return client.upload_blob(str(path), container, layer, do_chunked=chunked, chunk_size=_CHUNK_BYTES)


def _upload_empty(client: Any, container: Any, config: dict[str, Any]) -> Any:
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write(_EMPTY)
        file.flush()
        return client.upload_blob(file.name, container, config)


def _told(address: OciAddress, act: Callable[[], Any]) -> Any:
    """What the client says went wrong, as ours."""
    import requests
    from oras.auth import AuthenticationException

    try:
        answer = act()
    except (AuthenticationException, ValueError, requests.RequestException) as error:
        raise FetchError(str(address), f"the registry refuses ({error})", hint=_HINT) from error
    if answer.status_code >= 300:
        raise FetchError(str(address), f"the registry refuses ({answer.status_code} {answer.reason})", hint=_HINT)
    return answer


def _layer(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    return {
        "mediaType": FILE_TYPE,
        "digest": digest,
        "size": path.stat().st_size,
        "annotations": {TITLE: path.name},
    }


def _sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _digest(text: object) -> str:
    """A digest out of a manifest: it becomes a part of an address."""
    if not isinstance(text, str) or not re.fullmatch(r"sha256:[0-9a-f]{64}", text):
        raise ValueError(f"no digest: {text!r}")
    return text
