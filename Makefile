# Each verb sets up what it needs (a virtual environment in .venv, from pyproject.toml) and CI calls the same verbs.
.DEFAULT_GOAL := help
.PHONY: help story up test slow chaos fuzz soak lint type protos protos-fresh bench bench-serving eval locks containers clean
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
SONG ?= examples/peer_gynt.mp3
OUT ?= story.mp4
OPTIONS ?=
ARGS ?=
DATA ?=
SONGS ?=
SEED ?= 1
COUNT ?= 10000
MESSAGES ?= 5000
MINUTES ?= 30
export SONG OUT DATA SONGS SEED

RUN := .venv/bin
APP := .venv/.made-app
DEV := .venv/.made-dev
TRAIN := .venv/.made-train
PROTOS := .venv-protos/.made
# Old enough that the stubs load on every grpcio and protobuf that pyproject.toml allows.
PROTO_TOOLS := grpcio-tools==1.76.0 mypy-protobuf==3.7.0 buf-bin==1.75.0
PROTO_FILES := $(sort $(wildcard protos/deepsing/v1/*.proto))
# $(call stubs,FOLDER): writes the stubs of all proto files below FOLDER.
stubs = PATH="$(CURDIR)/.venv-protos/bin:$$PATH" .venv-protos/bin/python -m grpc_tools.protoc -I protos \
	--python_out=$(1) --grpc_python_out=$(1) --mypy_out=quiet:$(1) --mypy_grpc_out=quiet:$(1) $(PROTO_FILES)

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

story: $(APP) ## a story of SONG in OUT; OPTIONS="--size 16:9 --style auto" go to deepsing render
	@$(RUN)/deepsing render $(OPTIONS) -- "$$SONG" "$$OUT"

up: $(APP) ## all four services on this machine until Ctrl-C
	@$(RUN)/deepsing up $(ARGS)

test: $(DEV) ## all tests but the slow ones; ARGS="tests/unit -k name" chooses
	$(RUN)/python -m pytest -m "not slow" $(ARGS)

slow: $(DEV) ## the slow tests: hours of audio, bentos built and served, a stored story after a kill
	$(RUN)/python -m pip install --quiet --editable '.[serve,story,bento,dev]'
	$(RUN)/python -m pytest -m slow $(ARGS)

chaos: $(DEV) ## stories while services and connections are killed under them, some ten minutes; SEED=1
	$(RUN)/python -m tests.chaos --seed "$$SEED" $(ARGS)

fuzz: $(DEV) ## COUNT mutated songs and MESSAGES malformed calls of every RPC, by SEED; about 20 minutes
	@$(RUN)/python -m tests.fuzz --seed $(SEED) --count $(COUNT) --messages $(MESSAGES) $(ARGS)

soak: $(DEV) ## mixed load on the four services for MINUTES while their memory is watched; build/soak/soak.png
	@$(RUN)/python -m tests.soak --minutes $(MINUTES) --seed $(SEED) $(ARGS)

lint: $(DEV) ## style and who may import whom
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/lint-imports

type: $(DEV) ## types
	$(RUN)/mypy

protos: $(PROTOS) ## the stubs in deepsing/v1 from protos/
	.venv-protos/bin/buf lint protos
	$(call stubs,.)

protos-fresh: $(PROTOS) ## check that the stubs are fresh and that nothing in the contract breaks; AGAINST=REF
	.venv-protos/bin/buf lint protos
	@rm -rf build/protos && mkdir -p build/protos
	@$(call stubs,build/protos)
	@diff -rq -x __init__.py -x __pycache__ build/protos/deepsing/v1 deepsing/v1 \
		|| { echo "deepsing/v1 is not what protos/ says; run: make protos" >&2; exit 1; }
	@PATH="$(CURDIR)/.venv-protos/bin:$$PATH" bash protos/breaking.sh $(AGAINST)

bench: $(DEV) ## speed and memory, as a table and as JSON
	@$(RUN)/deepsing bench $(ARGS)

bench-serving: $(DEV) ## many sessions at once: speed, lag, batching, memory, cancelling; JSON in build/bench-serving.json
	@$(RUN)/deepsing bench relay sessions batching leaving memory --report build/bench-serving.json $(ARGS)

eval: $(TRAIN) ## every table of the model cards; DATA=DIR with music/, oasis/ and pictures/, about an hour of one core; SONGS=DIR for the stories
	@test -d "$$DATA/music" && test -d "$$DATA/oasis" && test -d "$$DATA/pictures" || { \
		echo "make: say where the rated data is: make eval DATA=DIR, a folder with music/, oasis/ and pictures/" >&2; exit 2; }
	@sh docs/models/evaluate.sh "$$DATA" "$$SONGS"

locks: $(DEV) ## the exact packages of the images, in deploy/requirements
	PATH="$(CURDIR)/$(RUN):$$PATH" sh deploy/lock.sh $(ARGS)

containers: ## build and try all four images without a container engine (root; buildah, runc, mmdebstrap)
	@for service in audio_sentiment translator generator composer; do sh deploy/build-local.sh $$service || exit; done

clean: ## remove the environments, caches and build products
	rm -rf .venv .venv-protos build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find deepsing services training bench tests -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "make: deepsing needs Python 3.11 or newer; say where it is: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "make: $(PYTHON) cannot make virtual environments; on Debian run: apt-get install python3-venv" >&2; exit 2; }
	$(PYTHON) -m venv .venv

$(APP): pyproject.toml | .venv/bin/python
	$(RUN)/python -m pip install --quiet --editable '.[serve,story,pictures]'
	@touch $@

$(DEV): pyproject.toml | .venv/bin/python
	$(RUN)/python -m pip install --quiet --editable '.[serve,story,pictures,dev]'
	@touch $@ $(APP)

$(TRAIN): $(DEV)
	$(RUN)/python -m pip install --quiet --editable '.[serve,story,train,dev]'
	@touch $@

$(PROTOS): Makefile
	$(PYTHON) -m venv .venv-protos
	.venv-protos/bin/python -m pip install --quiet $(PROTO_TOOLS)
	@touch $@
