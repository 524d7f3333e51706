"""Where the models' Python environment lies: Triton and torch, apart from the engine's."""

from __future__ import annotations

from streams.settings import PROJECT

ENVIRONMENT = PROJECT / ".venv-models"
PYTHON = "3.11"
SITE_PACKAGES = ENVIRONMENT / "lib" / f"python{PYTHON}" / "site-packages"
