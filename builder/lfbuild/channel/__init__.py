"""Releases that live elsewhere: what stands beside one, and how a file becomes the newer one."""
