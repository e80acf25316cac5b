SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --warn-undefined-variables
KUBEBUILDER_ASSETS ?=
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

RUN := $(CURDIR)/.run
# A folder with kube-apiserver and etcd; built from the pinned modules of tools/ unless given.
KUBEBUILDER_ASSETS := $(or $(KUBEBUILDER_ASSETS),$(RUN)/assets)
export KUBEBUILDER_ASSETS
export GOWORK := off

.PHONY: help
help: ## List the targets.
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-12s %s\n", $$1, $$2}'

##@ Run

.PHONY: demo
demo: build assets ## Show the main job on an embedded control plane.
	@$(RUN)/bin/demo --assets "$$KUBEBUILDER_ASSETS" --webhook $(RUN)/bin/webhook --folder $(RUN)/demo

.PHONY: up
up: build assets ## Start the embedded control plane with the webhook serving; kubeconfig at .run/kubeconfig.
	@$(RUN)/bin/controlplane up --assets "$$KUBEBUILDER_ASSETS" --webhook $(RUN)/bin/webhook --folder $(RUN)

.PHONY: down
down: build ## Stop it.
	@$(RUN)/bin/controlplane down --folder $(RUN)

##@ Build

.PHONY: build
build: ## Build the webhook and the programs of the embedded control plane.
	@mkdir -p $(RUN)/bin
	@go build -o $(RUN)/bin/webhook ./cmd/webhook
	@cd test && go build -o $(RUN)/bin/controlplane ./controlplane/cmd && go build -o $(RUN)/bin/demo ./controlplane/demo

.PHONY: assets
assets: ## Build kube-apiserver and etcd (about 5 minutes the first time).
ifeq ($(KUBEBUILDER_ASSETS),$(RUN)/assets)
	@mkdir -p $(RUN)/assets
	@test -x $(RUN)/assets/kube-apiserver -a -x $(RUN)/assets/etcd -a $(RUN)/assets/kube-apiserver -nt tools/go.mod || { \
		echo 'building kube-apiserver and etcd from their Go modules …'; \
		cd tools && CGO_ENABLED=0 go build -v -o $(RUN)/assets/ k8s.io/kubernetes/cmd/kube-apiserver 2>&1 | $(progress) && \
		CGO_ENABLED=0 go build -v -o $(RUN)/assets/etcd go.etcd.io/etcd/server/v3 2>&1 | $(progress) && \
		touch $(RUN)/assets/kube-apiserver; }
endif

# Errors as they are, packages counted.
progress := awk '/^[a-z0-9.]+(\/[A-Za-z0-9._~-]+)*$$/ {if (++n % 100 == 0) {print "  " n " packages"; fflush()} next} {print; fflush()}'

IMAGE ?= egress-governor:dev
ARCH ?= $(shell go env GOARCH)
VERSION ?= $(shell git describe --tags --always --dirty)

.PHONY: image
image: ## Build the image IMAGE (egress-governor:dev) for ARCH (this machine's).
	@mkdir -p $(RUN)/image
	CGO_ENABLED=0 GOOS=linux GOARCH=$(ARCH) go build -trimpath -ldflags '-s -w -X main.release=$(VERSION)' -o $(RUN)/image/webhook ./cmd/webhook
	docker build --quiet --platform linux/$(ARCH) --file Dockerfile --tag $(IMAGE) $(RUN)/image

##@ Test

.PHONY: test
test: check unit integration routing ## Run every test that needs no container engine.

.PHONY: check
check: ## Check the form of Go.
	@files="$$(gofmt -l $$(git ls-files '*.go'))"; test -z "$$files" || { echo "gofmt: make fmt mends $$files"; exit 1; }
	go vet ./...
	cd test && go vet -tags e2e ./...
	cd test/routing && go vet ./...

.PHONY: unit
unit: ## Run the unit tests, with the race detector.
	go test -race ./...
	cd test && go test -race ./chart ./house ./laws

.PHONY: integration
integration: build assets ## Run the tests on a real kube-apiserver; they leave the objects that routing judges.
	@rm -rf $(RUN)/shapes
	cd test && go test -race -count=1 -timeout 20m ./integration

.PHONY: routing
routing: ## Judge the objects that integration stored by Istio's own generator.
	cd test/routing && go test -count=1 -timeout 20m ./...

PROBE := egress-governor-probe:dev

.PHONY: e2e
e2e: image e2e-tools ## Run the tests on a kind cluster with Istio; KEEP=1 keeps it. Needs a docker engine.
	@mkdir -p $(RUN)/e2e
	CGO_ENABLED=0 GOOS=linux go build -C test -trimpath -ldflags '-s -w' -o $(RUN)/e2e/image/probe ./e2e/probe
	docker build --quiet --file test/e2e/probe/Dockerfile --tag $(PROBE) $(RUN)/e2e/image
	WEBHOOK_IMAGE=$(IMAGE) PROBE_IMAGE=$(PROBE) test/e2e/cluster/run.sh $(RUN)/tools $(RUN)/e2e

.PHONY: e2e-tools
e2e-tools:
	@mkdir -p $(RUN)/tools
	cd tools/cluster && go build -o $(RUN)/tools/ sigs.k8s.io/kind helm.sh/helm/v4/cmd/helm

.PHONY: bench
bench: ## Run the benchmarks, ready for benchstat.
	go test -run '^$$' -bench . -benchmem -cpu 1 -count 6 ./internal/admit ./internal/policy ./internal/registry ./internal/review

.PHONY: bench-growth
bench-growth: build assets ## Measure 5,000 entries of distinct hosts, 2,000 of one, one host beside 3,072, and the audit of 1,000, on the embedded control plane.
	cd test && go test -run '^$$' -bench . -benchtime 1x -timeout 60m ./growth

.PHONY: bench-routes
bench-routes: ## Measure the configuration that Istio generates for an egress gateway with up to 5,000 exits.
	cd test/routing && go test -run '^$$' -bench GatewayConfiguration -benchtime 1x .

##@ Care

.PHONY: lint
lint: opa ## Lint Go and its arrows, check and format-check Rego (builds the linters the first time).
	cd tools/lint && go build -o $(RUN)/tools/ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	$(RUN)/tools/golangci-lint run ./...
	cd test && $(RUN)/tools/golangci-lint run --config ../.golangci.yml ./...
	$(RUN)/tools/opa check --strict --schema policies/schemas/input.json policies
	$(RUN)/tools/opa fmt --fail --diff policies

.PHONY: fmt
fmt: opa ## Format Go and Rego.
	gofmt -w $$(git ls-files '*.go')
	$(RUN)/tools/opa fmt --write policies

.PHONY: opa
opa:
	@mkdir -p $(RUN)/tools
	cd tools/code && go build -o $(RUN)/tools/ github.com/open-policy-agent/opa

.PHONY: generate
generate: ## Regenerate deepcopy functions, the CRD and the chart's README.
	@mkdir -p $(RUN)/tools
	cd tools/code && go build -o $(RUN)/tools/ sigs.k8s.io/controller-tools/cmd/controller-gen
	$(RUN)/tools/controller-gen object crd paths=./api/... output:crd:dir=$(RUN)/crd
	cp $(RUN)/crd/egress-governor.io_egresspolicies.yaml charts/egress-governor/templates/crd-egresspolicies.yaml
	cd tools/docs && go build -o $(RUN)/tools/ github.com/norwoodj/helm-docs/cmd/helm-docs
	$(RUN)/tools/helm-docs --chart-search-root charts --sort-values-order file

# What generate writes.
generated := '*zz_generated*' charts/egress-governor/README.md charts/egress-governor/templates/crd-egresspolicies.yaml

.PHONY: verify
verify: generate opa ## Fail where generated files, go.mod or go.sum are not current, or a command of the documents fails.
	docs/check.sh $(RUN)/tools/opa
	@failed=; \
	if [ -n "$$(git status --porcelain -- $(generated))" ]; then \
		echo 'These generated files differ from the committed ones; commit what make generate writes:'; \
		git --no-pager diff --stat HEAD -- $(generated); failed=1; \
	fi; \
	for module in $$(git ls-files go.mod '*/go.mod' | xargs -n 1 dirname); do \
		(cd $$module && go mod tidy -diff) || { echo "The Go module in $$module is not tidy; run go mod tidy there."; failed=1; }; \
	done; \
	test -z "$$failed"

.PHONY: clean
clean: ## Remove what was built.
	rm -rf $(RUN)
