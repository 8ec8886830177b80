"""The cache on this machine: whole files by their sha256, whole folders by their key, and small facts."""

from lfbuild.store.cache import Incoming, Store
from lfbuild.store.listing import Kind, Pruned, StoreEntry

__all__ = ["Incoming", "Kind", "Pruned", "Store", "StoreEntry"]
