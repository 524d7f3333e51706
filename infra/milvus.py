"""Milvus: the standalone server (2.3.5) of the ``milvus`` wheel, run directly with a configuration of our own.

Its gRPC ports listen on every interface, as this version has no setting for it: keep a firewall in front of them,
or use ``lite``.
"""

from __future__ import annotations

import lzma
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

from infra.part import Part, Say
from streams.settings import PROJECT, Settings

WHEEL = PROJECT / ".venv-milvus" / "lib" / "python3.11" / "site-packages" / "milvus"
#: Each role of the standalone server listens on its own port, counted up from Milvus's.
ROLES = (
    "etcd",
    "proxy",
    "rootCoord",
    "queryCoord",
    "queryNode",
    "indexCoord",
    "indexNode",
    "dataCoord",
    "dataNode",
    "etcd_peer",
)
ETCD_ROOT = "pinstream"

CONFIGURATION = """\
etcd:
  endpoints: {host}:{etcd}
  rootPath: {root}
  use: {{embed: true}}
  config: {{path: {folder}/configuration/etcd.yaml}}
  data: {{dir: {folder}/etcd}}
  log: {{level: error, path: stdout}}
localStorage: {{path: {folder}/storage}}
mq: {{type: rocksmq}}
rocksmq: {{path: {folder}/rocksmq, retentionTimeInMinutes: 60, retentionSizeInMB: 512}}
# Longer than any pause: a server that loses its session stays Abnormal. infra/milvus_server.py ends those of the dead.
common: {{storageType: local, gracefulStopTimeout: 5, session: {{ttl: 60}}}}
log: {{level: error, stdout: true, file: {{rootPath: ""}}}}
# Its parts look for each other again and again at a start, less and less often (0.2 s, doubled up to 10 s by default).
grpc: {{client: {{initialBackoff: 0.1, maxBackoff: 0.3, maxMaxAttempts: 60}}}}
quotaAndLimits: {{enabled: false}}
proxy: {{ip: {host}, port: {port}, internalPort: {proxy}, http: {{enabled: false}}}}
rootCoord: {{ip: {host}, port: {rootCoord}}}
queryCoord: {{ip: {host}, port: {queryCoord}}}
queryNode: {{ip: {host}, port: {queryNode}, mmapDirPath: {folder}/mmap}}
indexCoord: {{ip: {host}, port: {indexCoord}}}
indexNode: {{ip: {host}, port: {indexNode}}}
dataCoord: {{ip: {host}, port: {dataCoord}}}
dataNode: {{ip: {host}, port: {dataNode}}}
"""

ETCD_CONFIGURATION = """\
name: pinstream
data-dir: {folder}/etcd
listen-client-urls: http://{host}:{etcd}
advertise-client-urls: http://{host}:{etcd}
listen-peer-urls: http://{host}:{etcd_peer}
initial-advertise-peer-urls: http://{host}:{etcd_peer}
initial-cluster: pinstream=http://{host}:{etcd_peer}
log-level: error
enable-grpc-gateway: true
# It is alone and waits for nobody else's vote (ms; 100 and 1,000 by default).
heartbeat-interval: 50
election-timeout: 300
"""


def install(settings: Settings, say: Say) -> None:
    """Unpack the server from the wheel into ``<home>/milvus``."""
    if not WHEEL.exists():
        raise FileNotFoundError(f"{WHEEL} is missing: run `make setup`, or set PINSTREAM_MILVUS=lite")
    target = _binaries(settings)
    target.mkdir(parents=True, exist_ok=True)
    packed = [file for file in (WHEEL / "data" / "bin").glob("*.lzma") if not (target / file.stem).exists()]
    if packed:
        say("unpacking the server (246 MB)")
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda file: _unpack(file, target / file.stem), packed))


def prepare(settings: Settings, say: Say) -> None:
    """Write the server's configuration."""
    folder = _folder(settings)
    configuration = folder / "configuration"
    configuration.mkdir(parents=True, exist_ok=True)
    values = {
        "host": settings.host,
        "port": settings.port("milvus"),
        "folder": folder,
        "root": ETCD_ROOT,
        **_role_ports(settings),
    }
    (configuration / "milvus.yaml").write_text(CONFIGURATION.format(**values))
    (configuration / "etcd.yaml").write_text(ETCD_CONFIGURATION.format(**values))
    (configuration / "glog.conf").write_text("--logtostderr=true\n--minloglevel=2\n")


def part(settings: Settings) -> Part:
    """The server's process."""
    health = f"http://{settings.host}:{settings.port('milvus_metrics')}/healthz"
    roles = _role_ports(settings)
    etcd = [f"http://{settings.host}:{roles['etcd']}", f"{ETCD_ROOT}/meta/session"]
    return Part(
        name="milvus",
        command=[
            *(sys.executable, "-m", "infra.milvus_server", *etcd),
            *(str(_binaries(settings) / "milvus"), "run", "standalone"),
        ],
        ports={
            "milvus": settings.port("milvus"),
            "milvus_metrics": settings.port("milvus_metrics"),
            **{f"milvus's {role}": port for role, port in roles.items()},
        },
        address=settings.milvus_uri,
        ready=lambda: _health(health) == "OK",
        lost=lambda: _health(health).endswith("Abnormal"),
        environment={
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(settings.port("milvus_metrics")),
            "MILVUSCONF": str(_folder(settings) / "configuration"),
            "LD_LIBRARY_PATH": str(_binaries(settings)),
        },
        folder=_folder(settings),
        stop_timeout=3.0,  # 2.3.5 hangs on SIGTERM more often than not; its log survives a kill
    )


def _folder(settings: Settings) -> Path:
    return settings.home / "data" / "milvus"


def _binaries(settings: Settings) -> Path:
    return settings.home / "milvus"


def _role_ports(settings: Settings) -> dict[str, int]:
    first = settings.port("milvus") + 1
    return {role: first + step for step, role in enumerate(ROLES)}


def _unpack(packed: Path, target: Path) -> None:
    part_way = target.with_suffix(target.suffix + ".part")
    part_way.write_bytes(lzma.decompress(packed.read_bytes()))
    part_way.chmod(0o755)
    part_way.replace(target)


def _health(url: str) -> str:
    """What the server says of itself: ``OK``, or the role that is not and its state."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own loopback address
            return answer.read().decode()
    except HTTPError as answer:
        return answer.read().decode(errors="replace")
    except (OSError, HTTPException):
        return ""
