"""What goes with files when they are released: sums, parts and licences, provenance, notes, a page.

Values in, texts out. All is told from the files' own manifests, so the same files give the same texts anywhere.
"""
