"""Triton: the real ``tritonserver`` of the nvidia-pytriton wheel, serving the folders of ``model_repo/``.

The wheel's Python backend runs each model in a process of its own, with the libraries of ``.venv-models``.
A model that is broken is left out and the others serve; ``pinstream up`` says which, and why.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from infra import detector_version, weights
from infra.models_environment import ENVIRONMENT, PYTHON, SITE_PACKAGES
from infra.part import Part, Say
from streams.settings import EMBEDDED, Settings

SERVER = SITE_PACKAGES / "pytriton" / "tritonserver"
#: Where its Python backend keeps what it exchanges with the models' processes.
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the kernel's own place for it
#: Without these, and encoders of other versions, no pin is understood and no feed ranked; others are loaded after them.
FIRST = ("detector", "encoder", "ranker")


def part(settings: Settings) -> Part:
    """How to run Triton. Raises FileNotFoundError when ``.venv-models`` is missing."""
    names = {name: settings.port(name) for name in ("triton_http", "triton_grpc", "triton_metrics")}
    http = f"http://{settings.host}:{names['triton_http']}"
    environment = {
        "PINSTREAM_WEIGHTS": str(settings.home / "weights"),
        # The backend embeds Python in isolated mode: it finds its libraries by the first python3 on PATH alone.
        "PATH": f"{ENVIRONMENT / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "LD_LIBRARY_PATH": f"{_libpython(_base_python())}:{SITE_PACKAGES / 'nvidia_pytriton.libs'}",
        # Models set their own number of threads; idle threads must sleep, not spin.
        "OMP_WAIT_POLICY": "PASSIVE",
        # What numpy multiplies is small: threads would only wait for each other.
        "OPENBLAS_NUM_THREADS": "1",
    }
    first = [name for name in models(settings) if name.startswith(FIRST)]
    later = [name for name in models(settings) if not name.startswith(FIRST)]
    command = [
        *(sys.executable, "-m", "infra.triton_server", http, ",".join(later)),
        # For the server alone: the Python that becomes it has libraries of its own.
        *("env", *(f"{name}={value}" for name, value in environment.items())),
        str(SERVER / "bin" / "tritonserver"),
        f"--model-repository={_repository(settings)}",
        f"--backend-directory={_backends(settings)}",
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in first),
        # One broken model must not stop the others.
        "--exit-on-error=false",
        "--strict-readiness=false",
        # Every config.pbtxt is complete; guessing would start each model's process twice.
        "--disable-auto-complete-config",
        f"--backend-config=python,shm-region-prefix-name={_shared_memory(settings)}",
    ]
    for name in ("http", "grpc", "metrics"):
        command += [f"--{name}-address={settings.host}", f"--{name}-port={names[f'triton_{name}']}"]
    return Part(
        name="triton",
        command=command,
        ports=names,
        address=f"{settings.triton_grpc} (gRPC), {http} (HTTP)",
        ready=lambda: _answers(f"{http}/v2/health/ready") and not _awaited(settings, http),
        complaint=lambda: _complaint(settings, http),
        # Reading torch from a cold disk on a busy machine takes a minute and more.
        start_timeout=300.0,
    )


def install(settings: Settings, say: Say) -> None:
    """Fetch the weights, and assemble the backend folder: the wheel's backend with the stub of our Python."""
    weights.install(settings, say)
    target = _backends(settings) / "python"
    stub = target / "triton_python_backend_stub"
    if stub.exists():
        return
    _base_python()
    say("preparing Triton's Python backend")
    shutil.copytree(SERVER / "backends" / "python", target, dirs_exist_ok=True)
    shutil.copy2(SERVER / "python_backend_stubs" / PYTHON / stub.name, stub)
    stub.chmod(0o755)


def prepare(settings: Settings, say: Say) -> None:
    """A repository of this home, links and its choice, where another detector is to serve than ``model_repo/`` says."""
    choice = detector_version.chosen(settings)
    if choice.complaint:
        say(choice.complaint)
    own = settings.linked_models
    shutil.rmtree(own, ignore_errors=True)
    config = settings.model_repository / "detector" / "config.pbtxt"
    if not config.exists() or detector_version.lets_serve(config.read_text()) == str(choice.version):
        return
    for name in models(settings):
        if name != "detector":
            own.mkdir(parents=True, exist_ok=True)
            (own / name).symlink_to(settings.model_repository / name)
            continue
        (own / name).mkdir(parents=True)
        for entry in (settings.model_repository / name).iterdir():
            if entry != config:
                (own / name / entry.name).symlink_to(entry)
        (own / name / config.name).write_text(detector_version.with_version(config.read_text(), choice.version))


def tidy(settings: Settings) -> None:
    """Take away the shared memory that a killed server left: a few MB for each of its models."""
    for region in SHARED_MEMORY.glob(f"{_shared_memory(settings)}*"):
        region.unlink(missing_ok=True)


def models(settings: Settings) -> list[str]:
    """The models in the repository: each folder with a ``config.pbtxt``, without what is switched off."""
    found = sorted(config.parent.name for config in settings.model_repository.glob("*/config.pbtxt"))
    return [name for name in found if name != "pinsage" or settings.pinsage == "on"]


def expected(settings: Settings, model: str) -> str:
    """The version of a model that Triton should serve: the one that its configuration names, or else the newest."""
    own = settings.linked_models / model / "config.pbtxt"
    folder = settings.model_repository / model
    config = own if settings.triton == EMBEDDED and own.exists() else folder / "config.pbtxt"
    versions = (int(each.name) for each in folder.iterdir() if each.name.isdigit())
    return detector_version.lets_serve(config.read_text()) or str(max(versions, default=0))


def _complaint(settings: Settings, http: str) -> str:
    """Which models do not serve, each with Triton's own reason."""
    try:
        index = _index(http)
    except (OSError, HTTPException, ValueError) as error:
        return f"it does not say which models serve: {error}"
    serving = {model["name"] for model in index if model.get("state") == "READY"}
    reasons = {model["name"]: model.get("reason", "") for model in index if model["name"] not in serving}
    failed = [name for name in models(settings) if name not in serving]
    return "; ".join(f"{name} does not serve: {reasons.get(name) or 'it is not loaded'}" for name in failed)


def _awaited(settings: Settings, http: str) -> bool:
    """Are there models that neither serve nor failed yet?"""
    try:
        settled = {model["name"] for model in _index(http) if model.get("state") in ("READY", "UNAVAILABLE")}
    except (OSError, HTTPException, ValueError):
        return True
    return not settled.issuperset(models(settings))


def _index(http: str) -> list[dict[str, str]]:
    """Every model with its state. Raises OSError, HTTPException and ValueError."""
    # An empty object: Triton lists those that do not serve, too.
    with urlopen(f"{http}/v2/repository/index", data=b"{}", timeout=5) as answer:  # noqa: S310
        return json.load(answer)


def _repository(settings: Settings) -> Path:
    own = settings.linked_models
    return own if own.exists() else settings.model_repository


def _backends(settings: Settings) -> Path:
    return settings.home / "triton" / "backends"


def _shared_memory(settings: Settings) -> str:
    """How the names of this home's regions begin."""
    home = hashlib.sha256(str(settings.home.resolve()).encode()).hexdigest()
    return f"pinstream_{home[:16]}_"


def _base_python() -> Path:
    """The prefix of the Python that ``.venv-models`` was made from."""
    described = ENVIRONMENT / "pyvenv.cfg"
    if not described.exists() or not SERVER.exists():
        raise FileNotFoundError(f"{ENVIRONMENT} has no Triton; run `make setup`")
    pairs = (line.partition("=") for line in described.read_text().splitlines())
    home = {key.strip(): value.strip() for key, _, value in pairs}["home"]
    return Path(home).resolve().parent


def _libpython(prefix: Path) -> Path:
    """The folder of the shared libpython that the backend links to."""
    name = f"libpython{PYTHON}.so.1.0"
    for folder in (prefix / "lib", *sorted((prefix / "lib").glob("*-linux-gnu"))):
        if (folder / name).exists():
            return folder
    raise FileNotFoundError(f"{name} is not below {prefix}/lib; use a Python with it: `uv python install {PYTHON}`")


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=1) as answer:  # noqa: S310 - our own loopback address
            return answer.status == 200
    except (OSError, HTTPException):
        return False
