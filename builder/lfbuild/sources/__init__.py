"""Origins of models, files and engine sources, and how they come to this machine."""

from lfbuild.fetch import Network
from lfbuild.sources.engines import FetchedTree, fetch_tree
from lfbuild.sources.fetching import Fetched, fetch_file
from lfbuild.sources.origins import (
    ArchiveOrigin,
    FileOrigin,
    GitOrigin,
    HfOrigin,
    JoinedOrigin,
    MemberOrigin,
    Origin,
    PathOrigin,
    PypiOrigin,
    TreeOrigin,
    UrlOrigin,
)
from lfbuild.sources.trees import digest_tree, tree_key, unpack_tree

__all__ = [
    "ArchiveOrigin",
    "Fetched",
    "FetchedTree",
    "FileOrigin",
    "GitOrigin",
    "HfOrigin",
    "JoinedOrigin",
    "MemberOrigin",
    "Network",
    "Origin",
    "PathOrigin",
    "PypiOrigin",
    "TreeOrigin",
    "UrlOrigin",
    "digest_tree",
    "fetch_file",
    "fetch_tree",
    "tree_key",
    "unpack_tree",
]
