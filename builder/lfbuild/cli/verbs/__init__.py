"""One module a verb: `add` says which words it takes, `run` calls its command and shows the result.

A module here imports its command inside `run`, so that the parser of all verbs costs nothing.
"""
