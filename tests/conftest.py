"""For all tests: properties are not timed, as other work may run on the same cores; zig's libraries are shared."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from tests.world.zig import share_libraries

settings.register_profile("lfbuild", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lfbuild")
share_libraries()
