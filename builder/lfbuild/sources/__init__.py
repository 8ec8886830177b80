"""Origins of models, files and engine sources, and how they come to this machine."""

from lfbuild.fetch import Network
from lfbuild.sources.engines import SourceTree, fetch_tree
from lfbuild.sources.fetching import Fetched, fetch_origin
from lfbuild.sources.origins import (
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
    "Fetched",
    "FileOrigin",
    "GitOrigin",
    "HfOrigin",
    "JoinedOrigin",
    "MemberOrigin",
    "Network",
    "Origin",
    "PathOrigin",
    "PypiOrigin",
    "SourceTree",
    "TreeOrigin",
    "UrlOrigin",
    "digest_tree",
    "fetch_origin",
    "fetch_tree",
    "tree_key",
    "unpack_tree",
]
