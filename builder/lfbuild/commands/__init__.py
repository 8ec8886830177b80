"""The hall: one verb a file, where the wings meet; each reads like a table of contents."""
