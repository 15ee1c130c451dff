# The targets people remember. `make help` lists them; `make test` is the whole check, and CI runs the same.

GO      ?= go
PKG     ?= ./...
FUZZ    ?= 10s
KILLS   ?= 1000
CUTS    ?= 10000
FSYNCS  ?= 200
ROUNDS  ?= 5
NODES   ?= 20
TIME    ?= 1h
ARGS    ?=
CRASHES := ^Test(Kill|KillAtFsync|KillUnderEdits|KillBetweenSteps|(Queue)?PowerCuts(Control)?)$$

.DEFAULT_GOAL := help
.PHONY: help build run cluster cluster-test test race fuzz lint bench bench-report e2e crash soak stress docs

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## ./gosper, a small static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o gosper ./cmd/gosper

run: ## a node with everything embedded, data in ./gosper-data (ARGS='--http-addr :8088' for more)
	$(GO) run ./cmd/gosper serve $(ARGS)

cluster: build ## Redis, three NATS servers and three nodes on loopback; Ctrl-C ends all (ARGS='--nodes 5 --port 7100')
	./gosper cluster $(ARGS)

test: ## everything: format, vet, staticcheck, arm64, tests, race detector, a short fuzz of each target
	.ci/test all

race: ## tests with the race detector
	.ci/test race

fuzz: ## every fuzz target for FUZZ (default 10s)
	FUZZ=$(FUZZ) .ci/test fuzz

lint: ## format, vet (amd64 and arm64), staticcheck
	.ci/test lint

bench: ## load scenarios against a server of their own (ARGS='echo --json')
	$(GO) run ./cmd/gosper bench $(or $(ARGS),all --quick)

bench-report: build ## all scenarios, beside all peers, into bench/report.html, bench/report.json and README's figures (half an hour; ARGS=--quick)
	./gosper bench all --report bench/report.html $(ARGS)
	$(GO) test -count=1 -run '^TestReadmeQuotes$$' ./bench -args -rewrite
	$(GO) test -count=1 -run '^TestSizingQuotes$$' ./deploy -args -rewrite

e2e: ## the page in Chromium against the built binary
	$(GO) test -count=1 $(ARGS) ./edge/web/e2e

cluster-test: ## two pages on two of three nodes whose game's node is killed NODES times (default 20)
	GOSPER_CLUSTER_KILLS=$(NODES) $(GO) test -count=1 -v -timeout 30m -run '^TestClusterNodeDies$$' ./edge/web/e2e

crash: ## tests that kill, cut and damage, again and again (KILLS=1000 CUTS=10000 FSYNCS=200)
	GOSPER_CRASH_KILLS=$(KILLS) GOSPER_POWER_CUTS=$(CUTS) GOSPER_FSYNC_KILLS=$(FSYNCS) $(GO) test -count=1 -v -timeout 2h -run '$(CRASHES)' ./broker/pebble ./edge/node ./grid/game
	$(GO) test -count=$(ROUNDS) -timeout 30m -run 'Crash|Kill|Cut|Restart|Damage|Fault|Flipped|Disk' -skip '$(CRASHES)' ./edge ./edge/client ./edge/node ./broker/... ./grid/game

soak: ## everything mixed with clients that come and go for TIME (default 1h): memory, descriptors, goroutines must return
	$(GO) run ./cmd/gosper bench soak --time $(TIME) $(ARGS)

stress: ## the concurrent packages ROUNDS times (default 5) with 1, 2 and 4 processors and the race detector
	$(GO) test -race -short -count=$(ROUNDS) -cpu=1,2,4 -timeout 60m $$($(GO) list ./edge/... ./broker/... ./grid/game | grep -v '/edge/web/e2e$$')

docs: ## write the tables of cmd/gosper/REFERENCE.md from the code
	$(GO) test -count=1 -run '^TestReference$$' ./cmd/gosper -args -rewrite
