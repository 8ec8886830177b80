"""The machine, and the only room that changes it: files, processes, locks, what this machine is."""
