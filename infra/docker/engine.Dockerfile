# The engine: the worker, and the command `pinstream`.
FROM python:3.11.13-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

COPY requirements/engine.txt requirements/engine.txt
RUN pip install --require-hashes -r requirements/engine.txt

COPY pyproject.toml README.md LICENSE ./
COPY operators operators
COPY streams streams
COPY infra infra
COPY examples examples
# In place: topics, migrations and the sample are read from the tree.
RUN pip install --no-deps --editable . \
 && useradd --system --uid 10001 pinstream \
 && mkdir /data && chown pinstream /data
# Compiled code of numba; the tree itself belongs to root.
ENV NUMBA_CACHE_DIR=/data/numba

USER pinstream
VOLUME /data
CMD ["pinstream", "worker"]
