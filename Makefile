# Needs Python 3.11 and make; everything else comes from the package registry, pinned by hash.
PYTHON ?= python3.11
BIN := .venv/bin
UV := $(BIN)/uv
SYNC := $(UV) pip sync --quiet --require-hashes --python

.PHONY: setup test fuzz chaos lint demo bench bench-peers train-ranker train-pinsage up down clean

setup: .venv/ready .venv-models/ready .venv-milvus/ready .venv/installed

.venv/bin/uv: requirements/bootstrap.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/bootstrap.txt
	touch $@

# pyproject.toml is a dependency because it declares the command `pinstream` and the packages.
.venv/ready: $(UV) requirements/engine.txt requirements/dev.txt pyproject.toml
	$(UV) pip install --quiet --compile-bytecode --require-hashes --python $(BIN)/python -r requirements/engine.txt -r requirements/dev.txt
	$(UV) pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python --editable .
	touch $@

.venv-models/ready: $(UV) requirements/models.txt
	test -x .venv-models/bin/python || $(PYTHON) -m venv --without-pip .venv-models
	$(SYNC) .venv-models/bin/python requirements/models.txt
	touch $@

.venv-milvus/ready: $(UV) requirements/milvus.txt
	test -x .venv-milvus/bin/python || $(PYTHON) -m venv --without-pip .venv-milvus
	$(SYNC) .venv-milvus/bin/python requirements/milvus.txt
	touch $@

# Kafka's jars, the models' weights and what else the parts need, so that a start needs no network; and what numba
# compiles, so that the first start is as quick as the others.
.venv/installed: .venv/ready .venv-models/ready .venv-milvus/ready infra/kafka_jars.txt infra/weights.py
	$(BIN)/pinstream up --install-only
	$(BIN)/python -m streams.warm_up
	touch $@

# In two lanes at once, as most tests wait for a part more than they compute.
test: setup
	$(BIN)/python -m tests.lanes

# The long form of tests/fuzz; each prints its seed, and SEED=… repeats it.
EVENTS ?= 1000000
REQUESTS ?= 100000
SEED ?= 0
fuzz: setup
	PINSTREAM_FUZZ=$(EVENTS) PINSTREAM_FUZZ_EVENTS=$(EVENTS) PINSTREAM_FUZZ_REQUESTS=$(REQUESTS) PINSTREAM_FUZZ_SEED=$(SEED) \
	    $(BIN)/python -m pytest -s tests/fuzz tests/operators/test_scan_fuzz.py

# The long form: a hundred kills and more under load, then everything counted again. `CHAOS="--seed 7 --kills 300"`.
chaos: setup
	$(BIN)/python -m tests.chaos $(CHAOS)

lint: .venv/ready
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/basedpyright
	$(BIN)/lint-imports

demo: setup
	$(BIN)/pinstream demo

bench: setup
	$(BIN)/pinstream bench

# The same counting job in every engine; fetches their jars and environments on first use. Options: PEERS="--rounds 1".
bench-peers: .venv/ready
	$(BIN)/python -m bench.peers $(PEERS)

# The ranker anew, from the sample: vectors by Triton's encoder, point-in-time rows, version 1 of the model.
SAMPLE := examples/sample
ROWS := .pinstream/training
train-ranker: setup
	$(BIN)/pinstream up
	$(BIN)/python -m training.ranker_vectors $(SAMPLE)/pins.jsonl.zst --out $(ROWS)/vectors.npz
	$(BIN)/python -m training.ranker_rows $(SAMPLE)/pins.jsonl.zst $(SAMPLE)/pinners.jsonl.zst $(SAMPLE)/traffic.jsonl.zst \
	    --vectors $(ROWS)/vectors.npz --out $(ROWS)/rows.npz
	.venv-models/bin/python -m training.ranker $(ROWS)/rows.npz --version 1

# PinSage anew, from the sample's photos and its simulated traffic: version 1 of the model.
PINSAGE := $(ROWS)/pinsage
train-pinsage: setup
	mkdir -p $(PINSAGE)
	ls -d $(CURDIR)/$(SAMPLE)/photos/*.jpg > $(PINSAGE)/sample.txt
	.venv-models/bin/python -m training.pinsage_pictures $(PINSAGE)/sample.txt --out $(PINSAGE)/sample-vectors.npz
	$(BIN)/python -m training.pinsage_data sample $(SAMPLE) --vectors $(PINSAGE)/sample-vectors.npz --out $(PINSAGE)/sample.npz
	.venv-models/bin/python -m training.pinsage ship $(PINSAGE)/sample.npz --epochs 10 --pairs 2048 --version 1

up: setup
	$(BIN)/pinstream up

down:
	$(BIN)/pinstream down

# Data and downloads go too.
clean:
	test ! -x $(BIN)/pinstream || $(BIN)/pinstream down
	rm -rf .venv .venv-models .venv-milvus .pinstream
