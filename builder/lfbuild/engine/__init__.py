"""Compiles llama.cpp into the head of a file: work orders, toolchains, and the build that carries them out.

Knows neither recipes nor where a source came from: whoever wants an engine fills in an `EngineJob`.
"""
