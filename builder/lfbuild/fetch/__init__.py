"""Brings bytes from elsewhere: whole files that can be resumed, and small documents."""

from lfbuild.fetch.answers import NotThereError
from lfbuild.fetch.http import Document, Downloaded, Fetcher, HttpFetcher
from lfbuild.fetch.network import Network, without_secrets

__all__ = ["Document", "Downloaded", "Fetcher", "HttpFetcher", "Network", "NotThereError", "without_secrets"]
