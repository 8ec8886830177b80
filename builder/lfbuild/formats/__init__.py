"""Bytes with names: one module a format, each with the table of its record and why it is so.

Pure: nothing here opens a file or starts a process, so each rule can be tested with bytes made by hand.
"""
