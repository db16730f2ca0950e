# What can be done here. "make" alone explains.

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
JOB = examples/go-source.toml

.NOTPARALLEL: # setup comes before what needs it
.PHONY: help setup ready build run test test-fleet test-slurm interop lint docs shaders size figures

help:
	@echo 'make setup    install what is missing to build and run: a Vulkan loader, a driver, the validation layers'
	@echo 'make build    build bin/saltern'
	@echo 'make run      build, then run the job $(JOB); another one: make run JOB=path.toml'
	@echo 'make test     run every test, with the Vulkan validation layers on, after saying on which device'
	@echo 'make test-fleet  run kernels and mixed jobs on the drivers of scripts/fleet.sh, compile for many GPUs, write docs/FLEET.md; needs root'
	@echo 'make test-slurm  run the batch scripts on a real Slurm of four nodes on this machine; needs root, installs Slurm where it is missing'
	@echo 'make interop  compare models, tokenizers and exports with transformers, tokenizers and llama.cpp; needs Python and its package index'
	@echo 'make lint     gofmt, go vet, staticcheck'
	@echo 'make docs     write the generated reference pages in docs/ anew'
	@echo 'make shaders  compile the shaders anew; needs glslc and spirv-val, which nothing else does'
	@echo 'make figures  measure this device, and PyTorch, NumPy and llama.cpp where they are, into docs/PERFORMANCE.md'
	@echo 'make size     count the code, for a look now and then'

setup:
	scripts/setup

# What run and test need. Where it cannot be installed they go on: whoever misses something says what.
ready:
	@scripts/setup || echo 'setup failed; going on without' >&2

build:
	go build -o bin/saltern .

run: ready build
	bin/saltern run $(JOB)

test: ready build
	-bin/saltern devices
	SALTERN_VALIDATION=1 go test -timeout 25m ./...
	@if [ "$$(id -u)" -eq 0 ]; then $(MAKE) test-slurm; else echo 'NOT RUN: the tests on a real Slurm, which need root: sudo make test-slurm'; fi

test-fleet:
	go test ./jobs -run '^TestFleet$$' -count 1 -timeout 60m -v -fleet -fix

# The queue is this machine's own, started and stopped for the tests.
test-slurm: ready
	scripts/slurm.sh run go test ./jobs -run '^TestSlurm$$' -count 1 -timeout 30m -slurm; code=$$?; scripts/slurm.sh down; exit $$code

interop: ready
	scripts/interop/run

lint:
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then \
		echo "not formatted; run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...

docs:
	go test ./jobs -run '^TestDocsAreFresh$$' -fix

shaders:
	go run ./shaders/build

figures: build
	scripts/bench-peers --into docs/PERFORMANCE.md

size:
	@scripts/size
