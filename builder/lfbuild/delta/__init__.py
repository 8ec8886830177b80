"""Differences between two files: made by a publisher who has both, applied by whoever has the old one.

Part of the file wing: applying needs the standard library, BLAKE3 and Zstandard, and no compiler, numpy or network.
"""
