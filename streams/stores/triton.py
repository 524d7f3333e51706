"""Triton: the detector, the encoder, the safety model and the ranker, over gRPC.

What a model takes (size of its images, largest batch) is asked of the server, so another model of the
same kind can be deployed without a change here (``docs/models.md``).
"""

from __future__ import annotations

import asyncio
import copy
import math
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np
import tritonclient.grpc.aio as triton
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import InferenceServerException

from streams.circuit import Circuit
from streams.images.fitting import Pixels, letterbox, stretch
from streams.settings import Settings
from streams.stores.protocols import Detection, Ranked, StoreUnavailable

T = TypeVar("T")

#: The encoder that serves until another one is cut over to.
ENCODER = "encoder"

#: Seconds for one request. Images wait behind others on a busy CPU; a slate does not wait.
IMAGE_SECONDS, RANK_SECONDS, ASK_SECONDS = 60.0, 2.0, 5.0
#: Seconds for which a model that failed is not asked again.
REST_SECONDS = 1.0
#: Actions that the ranker gives a probability of.
ACTIONS = 4
#: Requests in flight for one model: one is computed while the next is on its way.
IN_FLIGHT = 2
#: Triton's answers that mean "not now" rather than "not this".
ABSENT = {
    f"StatusCode.{name}" for name in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "NOT_FOUND", "CANCELLED", "UNIMPLEMENTED")
}
NOT_LIKE_THIS = "StatusCode.INVALID_ARGUMENT"
CHANNEL = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 200),
    # A server that came back is found within a second, not within gRPC's two minutes.
    ("grpc.max_reconnect_backoff_ms", 1000),
]


class _Model(NamedTuple):
    """What the server says of a model."""

    name: str
    input: str
    type: str
    shape: tuple[int, ...]  # of one item
    most: int  # items in one request


#: Runs one request and reads its answer: an outcome for each image.
_Look = Callable[["_Model", list[Pixels]], Awaitable[Sequence[T]]]


class TritonModels:
    """Implements :class:`streams.stores.protocols.Models`."""

    def __init__(self, settings: Settings) -> None:
        self._address = settings.triton_grpc
        self._client: triton.InferenceServerClient | None = None
        self._models: dict[str, _Model] = {}
        self._versions: dict[str, str] = {}
        self._versions_at = -math.inf
        self._resting: dict[str, float] = {}
        self._slots: dict[str, asyncio.Semaphore] = {}
        # Resizing lets the interpreter lock go, so that it runs beside the event loop.
        self._threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="resize")
        #: The model that makes vectors, and the version that they carry; empty: whichever Triton serves of it.
        self.encoder, self._encoder_version = ENCODER, ""
        self.circuit, self.judging = Circuit("triton"), Circuit("safety")

    def of(self, encoder: str, version: str) -> TritonModels:
        """The same Triton, with another model as encoder, whose vectors are called ``version``."""
        self._connected()
        other = copy.copy(self)
        other.encoder, other._encoder_version = encoder, version
        other._versions, other._versions_at = {}, -math.inf
        return other

    async def detect(self, images: Sequence[Pixels]) -> list[list[Detection]]:
        """Objects of each image, best first. An image that the model refuses has none."""
        return [found or [] for found in await self._each("detector", images, self._boxes)]

    async def encode(self, images: Sequence[Pixels]) -> NDArray[np.float32]:
        """``(n, d)`` L2-normalised. The row of an image that the model refuses is NaN."""
        found = await self._each(self.encoder, images, self._vectors)
        width = next((len(vector) for vector in found if vector is not None), 0)
        refused = np.full(width, np.nan, np.float32)
        rows = [refused if vector is None else vector for vector in found]
        return np.array(rows, np.float32).reshape(len(images), width)

    async def judge(self, images: Sequence[Pixels]) -> list[float | None]:
        """How likely each image is not safe for work, 0 … 1. None for an image that the model refuses."""
        with self.judging.call():
            return await self._each("safety", images, self._scores)

    async def means(self) -> NDArray[np.float32]:
        """``(d,)``: the mean of each dimension that the encoder's version comes with, to make vectors bits.

        Raises:
            StoreUnavailable: the encoder is gone.
            ValueError: it tells none.
        """
        model = await self._model(self.encoder)
        blank = np.zeros((1, *model.shape), np.uint8)
        try:
            answer = await self._infer(model, blank, IMAGE_SECONDS, "MEANS")
            (means,) = _output(answer, "MEANS", (1, None))
            if not np.isfinite(means).all():
                raise InferenceServerException("MEANS are no numbers")
        except InferenceServerException as error:
            if error.status() == NOT_LIKE_THIS:
                raise ValueError(
                    f"{model.name} has no output MEANS, so its vectors cannot become bits: add it (docs/models.md), "
                    f"or set PINSTREAM_OBJECT_INDEX=float ({error.message()})"
                ) from None
            raise self._rest(model.name, error) from None
        return means

    async def rank(self, features: NDArray[np.float32]) -> Ranked:
        """Probabilities for ``(n, F)`` features, in one request as far as the model's batch allows."""
        with self.circuit.call():
            model = await self._model("ranker")
            starts = range(0, len(features), model.most)
            parts, version = [np.empty((0, ACTIONS), np.float32)], ""
            try:
                for start in starts:
                    some = features[start : start + model.most]
                    answered = await self._infer(model, some, RANK_SECONDS)
                    answer = _output(answered, "PROBABILITIES", (len(some), ACTIONS))
                    version = str(answered.get_response().model_version)
                    if not ((answer >= 0) & (answer <= 1)).all():  # false for what is no number, too
                        raise InferenceServerException("PROBABILITIES are not between 0 and 1")
                    parts.append(answer)
            except InferenceServerException as error:
                raise self._rest(model.name, error) from None
        return Ranked(np.concatenate(parts), version)

    async def convolve(
        self, features: NDArray[np.float32], neighbours: NDArray[np.int32], weights: NDArray[np.float32], asked: int
    ) -> NDArray[np.float32]:
        """PinSage's vectors ``(asked, d)`` of a subgraph; see ``model_repo/pinsage``."""
        self._check_rest("pinsage")
        given: list[triton.InferInput] = []
        tensors = {
            "FEATURES": features,
            "NEIGHBOURS": neighbours,
            "WEIGHTS": weights,
            "ASKED": np.array([asked], np.int32),
        }
        for name, values in tensors.items():
            kind = "INT32" if values.dtype == np.int32 else "FP32"
            given.append(triton.InferInput(name, list(values.shape), kind))
            given[-1].set_data_from_numpy(np.ascontiguousarray(values))
        try:
            answer: Any = await self._connected().infer("pinsage", given, client_timeout=IMAGE_SECONDS)
            vectors = _output(answer, "VECTORS", (asked, None))
            if not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=0.01):  # false for what is no number, too
                raise InferenceServerException("VECTORS are not of length 1")
        except InferenceServerException as error:
            raise self._rest("pinsage", error) from None
        return vectors

    async def versions(self, at_most_old: float = 0.0) -> dict[str, str]:
        """The newest version of each model that is ready; an answer so many seconds old will do."""
        asked = time.monotonic()
        if asked - self._versions_at < at_most_old:
            return self._versions
        self._check_rest("server")
        try:
            index: Any = await self._connected().get_model_repository_index(client_timeout=ASK_SECONDS)
        except InferenceServerException as error:
            raise self._rest("server", error) from None
        ready = [(int(model.version), model.name) for model in index.models if model.state == "READY"]
        found = {name: str(version) for version, name in sorted(ready)}
        if self.encoder != ENCODER:
            found[ENCODER] = self._encoder_version
            if self.encoder not in found:
                del found[ENCODER]
        self._versions, self._versions_at = found, asked
        return self._versions

    async def close(self) -> None:
        """Let the connection and the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _each(self, name: str, images: Sequence[Pixels], look: _Look[T]) -> list[T | None]:
        """Every image through a model, in requests of its largest batch; None for an image that cannot pass."""
        if not images:
            return []
        model = await self._model(name)
        passable = [at for at, image in enumerate(images) if image.ndim == 3 and image.shape[2] == 3 and image.size]
        groups = [passable[start : start + model.most] for start in range(0, len(passable), model.most)]
        answers = await asyncio.gather(*(self._group(model, [images[at] for at in group], look) for group in groups))
        outcomes: list[T | None] = [None] * len(images)
        for group, answer in zip(groups, answers, strict=True):
            for at, outcome in zip(group, answer, strict=True):
                outcomes[at] = outcome
        return outcomes

    async def _group(self, model: _Model, images: list[Pixels], look: _Look[T]) -> Sequence[T | None]:
        try:
            async with self._slots.setdefault(model.name, asyncio.Semaphore(IN_FLIGHT)):
                return await look(model, images)
        except InferenceServerException as error:
            if error.status() in ABSENT:
                raise self._rest(model.name, error) from None
        # Is it the model or an image? A blank one tells; then each image is tried alone, so that one spoils no other.
        try:
            await look(model, [np.zeros((*model.shape[:2], 3), np.uint8)])
        except InferenceServerException as error:
            raise self._rest(model.name, error) from None
        if len(images) == 1:
            return [None]
        return [outcome for image in images for outcome in await self._group(model, [image], look)]

    async def _boxes(self, model: _Model, images: list[Pixels]) -> list[list[Detection]]:
        pixels, frames = await self._thread(letterbox, images, *model.shape[:2])
        answer = await self._infer(model, pixels, IMAGE_SECONDS)
        n = len(images)
        scores = _output(answer, "SCORES", (n, None))
        places = scores.shape[1]
        boxes, labels = _output(answer, "BOXES", (n, places, 4)), _output(answer, "LABELS", (n, places))
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise InferenceServerException("BOXES or SCORES are no numbers")
        return [
            [
                Detection(label.decode(), score, frame.to_image(box))
                for box, score, label in zip(its_boxes.tolist(), its_scores.tolist(), its_labels.tolist(), strict=True)
                if label  # the rest is padding
            ]
            for frame, its_boxes, its_scores, its_labels in zip(frames, boxes, scores, labels, strict=True)
        ]

    async def _vectors(self, model: _Model, images: list[Pixels]) -> list[NDArray[np.float32]]:
        pixels = await self._thread(stretch, images, *model.shape[:2])
        vectors = _output(await self._infer(model, pixels, IMAGE_SECONDS, "VECTORS"), "VECTORS", (len(images), None))
        if not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=0.01):  # false for what is no number, too
            raise InferenceServerException("VECTORS are not of length 1")
        return list(vectors)

    async def _scores(self, model: _Model, images: list[Pixels]) -> list[float]:
        pixels = await self._thread(stretch, images, *model.shape[:2])
        scores = _output(await self._infer(model, pixels, IMAGE_SECONDS), "SCORES", (len(images), 1))
        if not ((scores >= 0) & (scores <= 1)).all():  # false for what is no number, too
            raise InferenceServerException("SCORES are not between 0 and 1")
        return scores[:, 0].tolist()

    async def _infer(self, model: _Model, items: NDArray[Any], seconds: float, *outputs: str) -> triton.InferResult:
        """Run a model on items; all of its outputs come back, or those that are named."""
        given = triton.InferInput(model.input, list(items.shape), model.type)
        given.set_data_from_numpy(items)
        wanted = [triton.InferRequestedOutput(name) for name in outputs] or None
        answer: Any = await self._connected().infer(model.name, [given], outputs=wanted, client_timeout=seconds)
        return answer

    async def _model(self, name: str) -> _Model:
        self._check_rest(name)
        if name not in self._models:
            try:
                answer: Any = await self._connected().get_model_config(name, client_timeout=ASK_SECONDS)
            except InferenceServerException as error:
                raise self._rest(name, error) from None
            first = answer.config.input[0]
            names: Any = model_config_pb2.DataType  # pyright: ignore[reportAttributeAccessIssue]
            kind = names.Name(first.data_type).removeprefix("TYPE_")
            self._models[name] = _Model(name, first.name, kind, tuple(first.dims), max(1, answer.config.max_batch_size))
        return self._models[name]

    def _check_rest(self, name: str) -> None:
        """Fail at once while a model rests: waiting for what just failed would hold everything up."""
        left = self._resting.get(name, 0.0) - time.monotonic()
        if left > 0:
            raise StoreUnavailable("triton", f"{name} failed a moment ago", left)

    def _rest(self, name: str, error: InferenceServerException) -> StoreUnavailable:
        self._resting[name] = time.monotonic() + REST_SECONDS
        self._models.pop(name, None)  # what comes back may be another model
        return StoreUnavailable("triton", f"{name}: {error.message()}", REST_SECONDS)

    def _connected(self) -> triton.InferenceServerClient:
        """The client; made here, because gRPC binds it to the running loop."""
        if self._client is None:
            self._client = triton.InferenceServerClient(self._address, channel_args=CHANNEL)
        return self._client

    async def _thread(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)


def _output(answer: triton.InferResult, name: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """An output of this shape, None for any length. What has another is an answer that cannot be used."""
    try:
        values = answer.as_numpy(name)
    except (ValueError, TypeError) as error:  # fewer bytes than its shape says
        raise InferenceServerException(f"{name} cannot be read: {error}") from None
    if values is None:
        raise InferenceServerException(f"the model gives no {name}")
    fits = len(values.shape) == len(shape)
    if not fits or any(want not in (None, length) for want, length in zip(shape, values.shape, strict=True)):
        raise InferenceServerException(f"{name} has the shape {values.shape}, not {shape}")
    return values
