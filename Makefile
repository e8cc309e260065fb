export GOTOOLCHAIN = local

GOLANGCI_LINT = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
PLATFORMS = linux/amd64 linux/arm64 darwin/arm64 windows/amd64

# Modules of their own, so that the library's users do not inherit what they need.
# Their tests are run, their programs by hand.
NESTED = $(dir $(wildcard internal/testdb/containers/go.mod internal/goosetest/go.mod internal/torture/go.mod bench/go.mod))

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

.PHONY: demo
demo: ## see the locks at work
	scripts/demo.sh

# If the servers cannot be installed, the script says so, and the tests then look
# for another way and fail if there is none.
.PHONY: servers
servers:
	@-scripts/install-servers.sh

# No cached results: what these tests see is servers and clocks, not only files.
.PHONY: test
test: servers ## run all tests, on servers that are installed first if need be
	go test -count=1 ./...
	@set -e; for module in $(NESTED); do echo "in $$module"; (cd $$module && go vet ./... && go test -count=1 ./...); done

.PHONY: race
race: servers ## run all tests with the race detector
	go test -race -count=1 ./...

# For so long each backend is tortured, all of them at once.
DURATION ?= 10m

.PHONY: torture
torture: servers ## break everything that locks depend on, for DURATION, and check the histories
	cd internal/torture && DURATION=$(DURATION) go test -count=1 -timeout 0 -run Torture -v ./...

.PHONY: mutants
mutants: servers ## put defects into the code, and show that the tests find each
	go run ./internal/mutation

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME
	scripts/fuzz.sh

.PHONY: bench
bench: servers ## measure against the floor and against peers, in some 40 minutes
	@-scripts/install-peers.sh
	cd bench && go run .

.PHONY: test-matrix
test-matrix: ## run the tests against every pinned version of the servers
	scripts/test-matrix.sh

.PHONY: lint
lint: ## run the linters of .golangci.yml
	go run $(GOLANGCI_LINT) run ./...
	@set -e; for module in $(NESTED); do echo "in $$module"; (cd $$module && go run $(GOLANGCI_LINT) run ./...); done

.PHONY: cross
cross: ## compile and vet for every platform
	@set -e; for platform in $(PLATFORMS); do \
		echo "$$platform"; \
		export GOOS=$${platform%/*} GOARCH=$${platform#*/} CGO_ENABLED=0; \
		go build ./...; \
		go vet ./...; \
	done
