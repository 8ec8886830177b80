"""One HTTP request: through the right proxy, with checked certificates, along redirects that are safe.

What urllib3 raises is put into sentences here, and sorted into trouble that may pass and trouble that will not.
"""

from __future__ import annotations

import ssl
import threading
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

import urllib3
from urllib3 import exceptions

from lfbuild.errors import FetchError
from lfbuild.fetch.network import Network, without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_REDIRECTS = 10
CONNECT_TIMEOUT_S = 20
_REDIRECTS = {301, 302, 303, 307, 308}
_SECRET_HEADERS = {"authorization", "cookie"}


class PassingError(Exception):
    """Something that may pass when it is tried again; `what` is its sentence."""

    def __init__(self, what: str, *, wait_s: float | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.wait_s = wait_s


class Connections:
    """The open connections of one fetcher, by proxy; up to `kept` of each server's are kept for the next request."""

    def __init__(self, network: Network, *, kept: int = 1) -> None:
        self._network = network
        self._kept = kept
        self._pools: dict[str | None, urllib3.PoolManager] = {}
        self._making = threading.Lock()

    def get(self, url: str, headers: Mapping[str, str]) -> tuple[urllib3.BaseHTTPResponse, str]:
        """The answer to a GET, its body not yet read, and the address that gave it in the end.

        Raises:
            FetchError: asking again would not help.
            PassingError: it might.
        """
        headers = dict(headers)
        for _ in range(MAX_REDIRECTS + 1):
            response = self._request(url, headers)
            target = response.headers.get("Location") if response.status in _REDIRECTS else None
            if target is None:
                return response, url
            response.close()  # with its connection: the body may have no end
            new = _redirected(url, target)
            if is_elsewhere(new, url):
                headers = {name: value for name, value in headers.items() if name.lower() not in _SECRET_HEADERS}
            url = new
        raise FetchError(without_secrets(url), f"more than {MAX_REDIRECTS} redirects", hint="check the address")

    def _request(self, url: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        where = without_secrets(url)
        address = urlsplit(url)
        if address.username:
            user = f"{unquote(address.username)}:{unquote(address.password or '')}"
            headers = {**urllib3.make_headers(basic_auth=user), **headers}
            url = address._replace(netloc=address.netloc.rpartition("@")[2]).geturl()
        try:
            return self._pool(url).request(
                "GET", url, headers=headers, preload_content=False, redirect=False, retries=False
            )
        except exceptions.HTTPError as error:
            raise in_words(error, where=where, network=self._network) from error
        except ValueError as error:  # urllib3 refuses a proxy or an address that it cannot read
            raise FetchError(where, f"cannot be asked for ({error})", hint="check the address and the proxy") from error

    def _pool(self, url: str) -> urllib3.PoolManager:
        proxy = self._network.proxy_for(url)
        with self._making:
            if proxy not in self._pools:
                self._pools[proxy] = self._make_pool(proxy)
            return self._pools[proxy]

    def _make_pool(self, proxy: str | None) -> urllib3.PoolManager:
        timeout_s = self._network.timeout_s
        timeout = urllib3.Timeout(connect=min(CONNECT_TIMEOUT_S, timeout_s), read=timeout_s)
        context = self._certificates()
        if proxy is None:
            return urllib3.PoolManager(maxsize=self._kept, timeout=timeout, ssl_context=context)
        address = urlsplit(proxy)
        if address.scheme not in ("http", "https"):
            hint = "set HTTPS_PROXY to an http:// proxy"
            raise FetchError(
                without_secrets(proxy), f"proxies of the kind '{address.scheme}' are not supported", hint=hint
            )
        user = f"{unquote(address.username)}:{unquote(address.password or '')}" if address.username else None
        return urllib3.ProxyManager(
            address._replace(netloc=address.netloc.rpartition("@")[2]).geturl(),
            maxsize=self._kept,
            timeout=timeout,
            ssl_context=context,
            proxy_headers=urllib3.make_headers(proxy_basic_auth=user) if user else None,
        )

    def _certificates(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._network.ca_file)
        except OSError as error:  # ssl's own errors are OSErrors too
            hint = "check SSL_CERT_FILE and REQUESTS_CA_BUNDLE"
            raise FetchError(
                self._network.ca_file or "certificates", "cannot be used as certificates", hint=hint
            ) from error


def is_elsewhere(new: str, old: str) -> bool:
    """Whether an address is another server's, which must not hear what was told to the old one of who asks."""
    return urlsplit(new).netloc != urlsplit(old).netloc


def in_words(error: exceptions.HTTPError, *, where: str, network: Network) -> Exception:
    """The `PassingError` or `FetchError` that says what urllib3 ran into."""
    host = urlsplit(where).hostname
    if isinstance(error, exceptions.ProxyError):
        proxy = without_secrets(network.proxy_for(where) or "")
        return PassingError(f"the proxy {proxy} could not be used ({_reason(error.original_error)})")
    if isinstance(error, exceptions.SSLError):
        hint = "if your network checks traffic, set SSL_CERT_FILE to its certificates"
        return FetchError(where, f"no secure connection ({_reason(error)})", hint=hint)
    if isinstance(error, exceptions.LocationValueError):
        return FetchError(where, "is not an address that can be asked", hint="check the address")
    if isinstance(error, exceptions.NameResolutionError):
        return PassingError(f"the host {host} was not found")
    if isinstance(error, exceptions.NewConnectionError):
        return PassingError(f"no connection to {host} ({_reason(error.__cause__ or error)})")
    if isinstance(error, exceptions.ConnectTimeoutError):
        return PassingError(f"no connection to {host} within {min(CONNECT_TIMEOUT_S, network.timeout_s):g} seconds")
    if isinstance(error, exceptions.ReadTimeoutError):
        return PassingError(f"the server sent nothing for {network.timeout_s:g} seconds")
    return PassingError("the connection broke off")


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error.args[-1]) if error.args else str(error)
    return text.partition("(_ssl")[0].rpartition("] ")[2].strip().rstrip(":") or type(error).__name__


def _redirected(old: str, target: str) -> str:
    """The address that the one at `old` is redirected to by `target`.

    Raises:
        FetchError: it is no web address, or anyone could change what it gives.
    """
    where, new = without_secrets(old), target
    try:
        new = urljoin(old, target)
        is_web = urlsplit(new).scheme in ("http", "https") and bool(urlsplit(new).hostname)
    except ValueError:
        is_web = False
    if not is_web:
        raise FetchError(
            where, f"redirects to {without_secrets(new)}, which is no web address", hint="check the address"
        )
    if urlsplit(old).scheme == "https" and urlsplit(new).scheme == "http":
        hint = "ask for an https:// address"
        raise FetchError(where, "redirects from https to http, where anyone could change the bytes", hint=hint)
    return new
