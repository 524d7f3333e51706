"""Checks of the parts: each answers, in which version, and holds what it should. One function a check.

Each waits by itself and may run beside the others. Milvus's and Triton's clients are loaded where they are used: most
of what ``pinstream doctor`` loads is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from infra import detector_version, supervisor, topics
from infra.finding import Finding, good, note, wrong
from infra.migrate import SQL
from infra.triton import expected, models
from streams.settings import EMBEDDED, Settings
from streams.stores.clickhouse import ClickHouseError, open_event_store
from streams.stores.protocols import StoreUnavailable

TIMEOUT_SECONDS = 5.0


async def kafka(settings: Settings) -> Finding:
    client = topics.client_config(settings) | {"log_level": 0}
    try:
        brokers = AdminClient(client).list_topics(timeout=TIMEOUT_SECONDS).brokers
    except KafkaException as error:
        return _gone(settings, "kafka", settings.kafka_bootstrap, error)
    version = "4.1.0, " if settings.kafka == EMBEDDED else ""
    return good("kafka", f"Kafka answers at {settings.kafka_bootstrap} ({version}{len(brokers)} brokers).")


async def declared_topics(settings: Settings) -> Finding:
    try:
        missing = topics.missing(settings, TIMEOUT_SECONDS)
    except KafkaException:
        return wrong("topics", "Topics cannot be listed without Kafka.", "see kafka")
    if missing:
        return wrong("topics", f"Topics are missing: {', '.join(missing)}.", "pinstream up")
    return good("topics", f"All {len(topics.declared())} topics exist.")


async def clickhouse(settings: Settings) -> Finding:
    store = open_event_store(settings, timeout=TIMEOUT_SECONDS)
    try:
        version = (await store.query("SELECT version() AS version"))["version"][0]
    except (StoreUnavailable, ClickHouseError) as error:
        address = settings.clickhouse_http if settings.clickhouse == EMBEDDED else "its server"
        return _gone(settings, "clickhouse", address, error)
    finally:
        await store.close()
    return good("clickhouse", f"ClickHouse {version} answers.")


async def migrations(settings: Settings) -> Finding:
    wanted = {file.stem for file in SQL.glob("[0-9]*.sql")}
    store = open_event_store(settings, timeout=TIMEOUT_SECONDS)
    try:
        applied = set((await store.query("SELECT name FROM schema_migrations FINAL")).get("name", []))
    except StoreUnavailable:
        return wrong("migrations", "Migrations cannot be read without ClickHouse.", "see clickhouse")
    except ClickHouseError:
        applied = set()
    finally:
        await store.close()
    if missing := sorted(wanted - applied):
        return wrong("migrations", f"Migrations are not applied: {', '.join(missing)}.", "pinstream up")
    return good("migrations", f"All {len(wanted)} migrations are applied.")


async def milvus(settings: Settings) -> Finding:
    if settings.milvus == "lite":
        return good("milvus", f"Milvus Lite keeps {settings.milvus_uri} inside the worker.")
    from pymilvus import MilvusClient, MilvusException

    try:
        client = MilvusClient(settings.milvus_uri, token=settings.milvus_token, timeout=TIMEOUT_SECONDS)
        version = client.get_server_version()
        client.close()
    except MilvusException as error:
        return _gone(settings, "milvus", settings.milvus_uri, error)
    return good("milvus", f"Milvus {version} answers at {settings.milvus_uri}.")


async def triton(settings: Settings) -> Finding:
    """Triton answers and serves every model of the repository in the version that it should."""
    from tritonclient import grpc as triton_grpc
    from tritonclient.utils import InferenceServerException

    client = triton_grpc.InferenceServerClient(settings.triton_grpc)
    try:
        version = client.get_server_metadata(client_timeout=TIMEOUT_SECONDS).version
        index: Any = client.get_model_repository_index(client_timeout=TIMEOUT_SECONDS)
    except InferenceServerException as error:
        return _gone(settings, "triton", settings.triton_grpc, error)
    finally:
        client.close()
    return _serving(settings, version, [(one.name, one.version) for one in index.models if one.state == "READY"])


def _serving(settings: Settings, version: str, ready: Iterable[tuple[str, str]]) -> Finding:
    served: dict[str, set[str]] = {}
    for model, its_version in ready:
        served.setdefault(model, set()).add(its_version)
    if idle := [model for model in models(settings) if model not in served]:
        return wrong("triton", f"Triton {version} does not serve {', '.join(idle)}.", _see_log(settings, "triton"))
    old = [
        f"{model} {', '.join(sorted(served[model]))} where model_repo has {expected(settings, model)}"
        for model in models(settings)
        if expected(settings, model) not in served[model]
    ]
    if old:
        fix = "pinstream down && pinstream up" if settings.triton == EMBEDDED else "deploy model_repo to it again"
        return wrong("triton", f"Triton {version} serves {'; '.join(old)}.", fix)
    if settings.triton == EMBEDDED and (complaint := detector_version.chosen(settings).complaint):
        return note("triton", f"{complaint}.", "then pinstream down && pinstream up")
    names = ", ".join(f"{model} {expected(settings, model)}" for model in models(settings))
    return good("triton", f"Triton {version} serves {names}.")


def _gone(settings: Settings, name: str, address: str, error: Exception) -> Finding:
    told = str(error).splitlines()[0] if str(error) else type(error).__name__
    if getattr(settings, name) == EMBEDDED:
        (status,) = supervisor.status(settings, [name])
        fix = "pinstream up" if status.state == "stopped" else _see_log(settings, name)
    else:
        fix = f"start that server, or correct PINSTREAM_{name.upper()}"
    return wrong(name, f"{name} does not answer at {address}: {told}", fix)


def _see_log(settings: Settings, name: str) -> str:
    return f"read {supervisor.log_of(settings, name)}" if getattr(settings, name) == EMBEDDED else "read its log"


Check = Callable[[Settings], Coroutine[Any, Any, Finding]]
CHECKS: tuple[Check, ...] = (kafka, declared_topics, clickhouse, migrations, milvus, triton)
