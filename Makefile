# The Makefile only names things. What they do is in hack/, and a person can run each of them without make.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X main.version=$(VERSION)

.DEFAULT_GOAL := help
.PHONY: help build agents hello test e2e fuzz lint cover bench demo clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build bin/reconciler, a static binary
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/reconciler ./cmd/reconciler

agents: ## Build bin/agents, reconciler for every platform that a host may have
	VERSION='$(VERSION)' hack/agents.sh

hello: ## Build bin/hello, the daemon that the examples run
	CGO_ENABLED=0 go build -trimpath -o bin/hello ./examples/hello

test: ## Install what the tests need, then run them all: vet, unit, race, conformance, e2e, short fuzz rounds
	hack/deps.sh
	hack/rootfs.sh
	go run ./hack/check test

e2e: ## Run only the tests with real daemons
	hack/deps.sh
	hack/rootfs.sh
	go run ./hack/check test ./test/...

fuzz: ## Fuzz every target for a minute (FUZZTIME=10m for longer)
	go run ./hack/check fuzz -time $(or $(FUZZTIME),1m)

lint: ## Check format, vet, staticcheck, error handling, go.mod and the builds for every platform
	go run ./hack/check lint

cover: ## Run the tests and show what they don't reach; coverage.html has the lines
	hack/deps.sh
	hack/rootfs.sh
	go run ./hack/check cover

bench: build hello ## Measure against the bare-kernel floors; fails when a bar is missed
	hack/deps.sh gcc mmdebstrap ip ssh chromium ansible
	hack/rootfs.sh
	go run ./hack/bench -remote -reconciler bin/reconciler -hello bin/hello

demo: build hello ## See it work: apply, edit, diff, kill and heal, on this machine, and clean up
	hack/demo.sh

clean: ## Remove what was built
	rm -rf bin .cache coverage.out coverage.html
