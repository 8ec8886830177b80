"""An S3-compatible store. Amazon's own client finds the keys and signs; bytes come over the same line as any others.

Reading asks a signed address over HTTP, so ranges, retries and checks are those of `fetch.parallel`, and a store that
gets something wrong is treated as any server that does. The client reads AWS_ variables and ~/.aws by itself, as all
programs that use it do: that is how its users tell it who they are and where their store is (AWS_ENDPOINT_URL).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import unquote, urlsplit

from lfbuild.errors import FetchError, LfbuildError, ToolError
from lfbuild.fetch.network import without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lfbuild.fetch.network import Network

_VALID_S: Final = 3600
"""How long a signed address holds; each request has its own."""
_Result = TypeVar("_Result")
_KEYS_HINT: Final = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bucket:
    """A bucket, and who asks."""

    name: str
    client: Any
    """Of boto3, which has no types of its own."""

    @classmethod
    def of(cls, url: str, network: Network) -> Self:
        """The bucket of an s3://BUCKET/KEY address.

        Raises:
            ToolError: boto3 is not installed.
            FetchError: it is no such address, or the store's settings are not usable.
        """
        try:
            name, path = urlsplit(url)[1:3]
        except ValueError:
            name = path = ""
        if not name or "@" in name or not path.strip("/"):
            raise FetchError(without_secrets(url), "is no address in a store", hint="s3://BUCKET/PATH/NAME")
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError
        except ModuleNotFoundError as error:
            hint = 'pip install "lfbuild[s3]"'
            raise ToolError("boto3", "this Python package is needed for s3:// addresses", hint=hint) from error
        try:
            session = boto3.Session()  # one of our own: the client's shared one remembers who asked first
            client = session.client(
                "s3",
                region_name=session.region_name or "us-east-1",
                verify=str(network.ca_file) if network.ca_file else None,
                config=Config(signature_version="s3v4", proxies=_proxies(network)),
            )
        except (BotoCoreError, ValueError) as error:
            raise FetchError(without_secrets(url), f"the store cannot be reached ({error})", hint=_KEYS_HINT) from error
        return cls(name=name, client=client)

    def sign(self, url: str) -> str:
        """The address that may be asked for now.

        Raises:
            FetchError: nobody has told who asks.
        """
        from botocore.exceptions import BotoCoreError

        try:
            signed: str = self.client.generate_presigned_url(
                "get_object", Params={"Bucket": self.name, "Key": _key(url)}, ExpiresIn=_VALID_S
            )
        except BotoCoreError as error:
            raise FetchError(without_secrets(url), f"cannot be signed ({error})", hint=_KEYS_HINT) from error
        return signed

    def size_of(self, url: str) -> int | None:
        """How large what stands there is; None if nothing does.

        Raises:
            FetchError: the store does not tell.
        """
        from botocore.exceptions import ClientError

        def ask() -> int | None:
            try:
                return int(self.client.head_object(Bucket=self.name, Key=_key(url))["ContentLength"])
            except ClientError as error:
                if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                    return None
                raise

        return _told(url, ask)

    def put(
        self,
        source: Path | bytes,
        url: str,
        *,
        cache: str,
        on_bytes: Callable[[int], None],
        confirm: Callable[[], None] = lambda: None,
    ) -> None:
        """Put a file there, large ones in parts; it appears whole or not at all.

        Raises:
            FetchError: the store does not take it.
            LfbuildError: `confirm` refuses what was put; it is not there any more.
        """
        more = {"CacheControl": cache, "ContentType": "application/octet-stream"}

        def put() -> None:
            if isinstance(source, bytes):
                self.client.put_object(Bucket=self.name, Key=_key(url), Body=source, **more)
                on_bytes(len(source))
            else:
                self.client.upload_file(str(source), self.name, _key(url), ExtraArgs=more, Callback=on_bytes)

        _told(url, put)
        try:
            confirm()
        except LfbuildError:
            _told(url, lambda: self.client.delete_object(Bucket=self.name, Key=_key(url)))
            raise


def _told(url: str, act: Callable[[], _Result]) -> _Result:
    """What the client says went wrong, as ours."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return act()
    except (BotoCoreError, ClientError, Boto3Error) as error:
        raise FetchError(without_secrets(url), f"the store refuses ({error})", hint=_KEYS_HINT) from error


def _key(url: str) -> str:
    return unquote(urlsplit(url).path.lstrip("/"))


def _proxies(network: Network) -> dict[str, str] | None:
    return {scheme: proxy for scheme, proxy in network.proxies.items() if scheme in ("http", "https")} or None
