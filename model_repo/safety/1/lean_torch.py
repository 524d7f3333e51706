"""Before torch is imported: leaves out what only tracing needs, a quarter of what that import takes.

torch fills a table of what each operation would do to tensors without data. Nothing here asks for it.
"""

from __future__ import annotations

import sys
from types import ModuleType

UNUSED = "torch._meta_registrations"
if "torch" not in sys.modules:
    sys.modules[UNUSED] = ModuleType(UNUSED)
