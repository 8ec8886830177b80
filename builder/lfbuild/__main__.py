"""`python -m lfbuild` is the same front door as the `lfbuild` script."""

import sys

from lfbuild.cli import main

sys.exit(main())
