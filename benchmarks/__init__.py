"""lfbuild beside its peers, measured in one run on one machine: `python -m benchmarks` from the checkout.

Times are never asserted in the test suite; what was measured stands in docs/benchmarks.md with the machine named.
"""
