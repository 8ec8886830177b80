"""Turns a language model into one file that runs anywhere, and keeps that file alive."""

__version__ = "0.1.0"
