"""The manifest: what a file says of itself, and whether that is true.

`model` is its shape and encoding, `describe` makes one from what was written, `verify` holds one against the bytes.
"""
