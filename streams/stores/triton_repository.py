"""Triton's model repository: what is loaded, and loading more of it while the rest serves."""

from __future__ import annotations

from typing import Any, NamedTuple

import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

from streams.settings import Settings
from streams.stores.protocols import StoreUnavailable

#: Seconds that a model may take to load: reading torch from a cold disk takes a minute and more.
LOAD_SECONDS, ASK_SECONDS = 300.0, 10.0
READY = "READY"


class NotLoaded(Exception):
    """Triton refuses a model; the message is its own reason. Whatever served before goes on."""


class Model(NamedTuple):
    """A version of a model as Triton has it. ``reason`` says why it is not ready, where it is not."""

    name: str
    version: str
    state: str
    reason: str


class Repository:
    """The models of one Triton."""

    def __init__(self, settings: Settings) -> None:
        self._client = triton.InferenceServerClient(settings.triton_grpc)

    async def models(self) -> list[Model]:
        """Every version of every model that is in the repository. Raises StoreUnavailable."""
        try:
            index: Any = await self._client.get_model_repository_index(client_timeout=ASK_SECONDS)
        except InferenceServerException as error:
            raise StoreUnavailable("triton", str(error.message())) from None
        return sorted(Model(one.name, one.version, one.state, one.reason) for one in index.models)

    async def ready(self) -> dict[str, str]:
        """Model → the newest version that serves. Raises StoreUnavailable."""
        found = [(int(one.version), one.name) for one in await self.models() if one.state == READY]
        return {name: str(version) for version, name in sorted(found)}

    async def load(self, name: str) -> str:
        """Load a model, or its newest version; returns the version that serves then.

        Raises:
            NotLoaded: Triton cannot load it.
            StoreUnavailable: Triton is gone.
        """
        try:
            await self._client.load_model(name, client_timeout=LOAD_SECONDS)
        except InferenceServerException as error:
            if error.status() in ("StatusCode.UNAVAILABLE", "StatusCode.DEADLINE_EXCEEDED"):
                raise StoreUnavailable("triton", str(error.message())) from None
            reasons = [one.reason for one in await self.models() if one.name == name and one.state != READY]
            raise NotLoaded(next((reason for reason in reasons if reason), str(error.message()))) from None
        return (await self.ready())[name]

    async def unload(self, name: str) -> None:
        """Let a model go; one that is not loaded is nothing to it. Raises StoreUnavailable."""
        try:
            await self._client.unload_model(name, client_timeout=LOAD_SECONDS)
        except InferenceServerException as error:
            raise StoreUnavailable("triton", str(error.message())) from None

    async def close(self) -> None:
        await self._client.close()
