# Triton with what the models in model_repo/ need; the models themselves are mounted at /models.
FROM python:3.11.13-slim-bookworm AS weights
WORKDIR /app
RUN pip install --no-cache-dir uv==0.9.7
COPY streams/__init__.py streams/settings.py streams/
COPY infra/__init__.py infra/models_environment.py infra/part.py infra/weights.py infra/
RUN PINSTREAM_HOME=/home/pinstream python -c \
    "from infra.weights import install; from streams.settings import Settings; install(Settings.load(), print)"

FROM nvcr.io/nvidia/tritonserver:25.06-py3
COPY requirements/triton.txt /tmp/triton.txt
RUN pip install --no-cache-dir --break-system-packages --require-hashes -r /tmp/triton.txt && rm /tmp/triton.txt
COPY --from=weights /home/pinstream/weights /weights
ENV PINSTREAM_WEIGHTS=/weights OMP_WAIT_POLICY=PASSIVE OPENBLAS_NUM_THREADS=1
CMD ["tritonserver", "--model-repository=/models", "--exit-on-error=false", "--strict-readiness=false", \
     "--disable-auto-complete-config"]
