"""How the network is reached, as a front door found it in the environment and its options.

A value only: nothing is opened here, and the environment is not read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from lfbuild.errors import FetchError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_HUB: Final = "https://huggingface.co"


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """Proxies, patience and endpoints. The defaults are those of a machine with a direct connection."""

    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Scheme to proxy address, with the hosts that need none under "no": what `urllib.request.getproxies` gives."""
    offline: bool = False
    """Refuse to use the network at all."""
    timeout_s: float = 60
    """How long a server may stay silent."""
    attempts: int = 5
    """How often in a row a transfer may fail before it is given up."""
    ca_file: Path | None = None
    """Certificates to trust instead of the system's own."""
    pypi_index: str | None = field(default=None, repr=False)
    """Address of a package index ("simple" API); None for the one that `pypi_simple` knows. It may hold a password."""
    hf_endpoint: str | None = None
    """Address of a Hugging Face hub; None for the one that `huggingface_hub` knows."""
    hf_token: str | None = field(default=None, repr=False)
    """What a private or gated Hugging Face repository asks for."""

    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What programs that use the network (git) are started with: PATH, HOME, proxies, keys."""

    def refuse_unreadable(self, url: str) -> None:
        """Refuse what is no http:// or https:// address of a host.

        Raises:
            FetchError: it is none.
        """
        try:
            address = urlsplit(url)
            is_readable = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
        except ValueError:
            is_readable = False
        if not is_readable:
            raise FetchError(without_secrets(url), "is not an http:// or https:// address", hint="check the address")

    def hub_login(self, url: str) -> dict[str, str]:
        """What a request to this address says of who asks, if it goes to the Hugging Face hub, and over https.

        Raises:
            FetchError: where the hub is cannot be read.
        """
        if not self.hf_token:
            return {}
        address = urlsplit(url)
        try:
            hub = urlsplit(self.hf_endpoint or _HUB)
        except ValueError as error:
            raise FetchError(
                "HF_ENDPOINT", "is not an http:// or https:// address", hint="correct or unset it"
            ) from error
        is_hub = address.scheme == hub.scheme == "https" and address.netloc.lower() == hub.netloc.lower()
        return {"Authorization": f"Bearer {self.hf_token}"} if is_hub else {}

    def proxy_for(self, url: str) -> str | None:
        """The proxy that this address is reached through."""
        from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed hides it

        address = urlsplit(url)
        proxy = self.proxies.get(address.scheme) or self.proxies.get("all")
        host = address.hostname or ""
        if not proxy or proxy_bypass_environment(host, dict(self.proxies)):
            return None
        return proxy if "://" in proxy else f"http://{proxy}"


def without_secrets(url: str) -> str:
    """An address as it may be shown: without user and password, and without the query, which may be a signature."""
    try:
        address = urlsplit(url)
    except ValueError:
        return "an address that cannot be read"
    if not address.netloc:  # nobody's: `geturl` would leave out its slashes
        return url.partition("#")[0].partition("?")[0]
    host = address.netloc.rpartition("@")[2]
    return address._replace(netloc=host, query="", fragment="").geturl()
