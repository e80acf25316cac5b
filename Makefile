SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --warn-undefined-variables
KUBEBUILDER_ASSETS ?=
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

OUT := $(CURDIR)/.run
# A folder with kube-apiserver and etcd; built from the pinned modules of tools/ unless given.
KUBEBUILDER_ASSETS := $(or $(KUBEBUILDER_ASSETS),$(OUT)/assets)
export KUBEBUILDER_ASSETS
export GOWORK := off

# All that is built without the race detector is built the same way, which is that of the release: a cold cache compiles each package
# once. Without grpcnotrace grpc has pages of its calls, which nobody serves, made by templates. These look methods up by their names,
# so that the linker keeps whatever might be called so: a fifth of the webhook.
given := $(filter-out -trimpath -tags=grpcnotrace,$(shell go env GOFLAGS))
export GOFLAGS := $(strip $(given) -trimpath -tags=grpcnotrace)
export CGO_ENABLED := 0
# The race detector needs C, and by these flags finds in the cache what go test -race by hand left there.
race := CGO_ENABLED=1 GOFLAGS='$(given)' go test -race

BASE ?= HEAD

.PHONY: help
help: ## List the targets.
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-17s %s\n", $$1, $$2}'

##@ Run

.PHONY: demo
demo: build assets ## Show the main job on an embedded control plane.
	@$(OUT)/bin/demo --assets "$$KUBEBUILDER_ASSETS" --webhook $(OUT)/bin/webhook --folder $(OUT)/demo

.PHONY: up
up: build assets ## Start the embedded control plane with the webhook serving; kubeconfig at .run/kubeconfig.
	@$(OUT)/bin/controlplane up --assets "$$KUBEBUILDER_ASSETS" --webhook $(OUT)/bin/webhook --folder $(OUT)

.PHONY: down
down: build ## Stop it.
	@$(OUT)/bin/controlplane down --folder $(OUT)

##@ Build

.PHONY: build
build: ## Build the webhook, egressctl and the programs of the embedded control plane.
	@mkdir -p $(OUT)/bin
	@go build -o $(OUT)/bin/ ./cmd/webhook ./cmd/egressctl
	@cd test && go build -o $(OUT)/bin/controlplane ./controlplane/cmd && go build -o $(OUT)/bin/demo ./controlplane/demo

.PHONY: install
install: ## Install egressctl into go's folder of programs, and under the name by which kubectl finds it (kubectl egress).
	go install -ldflags '$(release)' ./cmd/egressctl
	@bin="$$(go env GOBIN)"; bin="$${bin:-$$(go env GOPATH)/bin}"; ln -sf egressctl "$$bin/kubectl-egress"; echo "installed in $$bin"

# Which Kubernetes it is a kube-apiserver knows by its linker alone; kubectl and helm ask.
kubernetes = $(shell cd tools && go list -m -f '{{.Version}}' k8s.io/kubernetes)
named = -X k8s.io/component-base/version.gitVersion=$(1) -X k8s.io/component-base/version.gitMajor=$(word 1,$(subst ., ,$(1:v%=%))) -X k8s.io/component-base/version.gitMinor=$(word 2,$(subst ., ,$(1:v%=%)))

.PHONY: assets
assets: ## Build kube-apiserver and etcd (about 5 minutes the first time).
ifeq ($(KUBEBUILDER_ASSETS),$(OUT)/assets)
	@mkdir -p $(OUT)/assets
	@test -x $(OUT)/assets/etcd -a $(OUT)/assets/kube-apiserver -nt tools/go.mod && \
	test "$$($(OUT)/assets/kube-apiserver --version)" = 'Kubernetes $(kubernetes)' || { \
		echo 'building kube-apiserver and etcd from their Go modules …'; \
		cd tools && go build -v -ldflags '$(call named,$(kubernetes))' -o $(OUT)/assets/ k8s.io/kubernetes/cmd/kube-apiserver 2>&1 | $(progress) && \
		go build -v -o $(OUT)/assets/etcd go.etcd.io/etcd/server/v3 2>&1 | $(progress) && \
		touch $(OUT)/assets/kube-apiserver; }
endif

.PHONY: istiod
istiod: ## Build istiod from the Istio that test/routing pins.
	@mkdir -p $(OUT)/tools
	@test -x $(OUT)/tools/pilot-discovery -a $(OUT)/tools/pilot-discovery -nt test/routing/go.mod || { \
		echo 'building istiod from its Go module …'; \
		cd test/routing && go build -v -o $(OUT)/tools/ istio.io/istio/pilot/cmd/pilot-discovery 2>&1 | $(progress) && \
		touch $(OUT)/tools/pilot-discovery; }

# Errors as they are, packages counted.
progress := awk '/^[a-z0-9.]+(\/[A-Za-z0-9._~-]+)*$$/ {if (++n % 100 == 0) {print "  " n " packages"; fflush()} next} {print; fflush()}'

IMAGE ?= egress-governor:dev
ARCH ?= $(shell go env GOARCH)
VERSION ?= $(shell git describe --tags --always --dirty)
release = -X github.com/egress-governor/egress-governor/internal/version.release=$(VERSION)

# When what is released says that it was made.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

.PHONY: image
image: ARCHS := $(ARCH)
image: image-files ## Build the image IMAGE (egress-governor:dev) for ARCH (this machine's), and load it into the docker engine.
	docker load --quiet --input $(OUT)/image/image-$(ARCH).tar

# What the image is released for.
ARCHS ?= amd64 arm64

.PHONY: image-files
image-files: ## Build the image for ARCHS (all that are released) without an engine, as files in .run/image; the digest is always the same of one source.
	@mkdir -p $(OUT)/image $(OUT)/tools
	cd tools/image && go build -o $(OUT)/tools/image .
	for arch in $(ARCHS); do \
		GOOS=linux GOARCH=$$arch go build -buildvcs=false -ldflags '-s -w -buildid= $(release)' -o $(OUT)/image/webhook-$$arch ./cmd/webhook; \
	done
	$(OUT)/tools/image build --folder $(OUT)/image --version '$(VERSION)' --epoch '$(SOURCE_DATE_EPOCH)' --tag '$(IMAGE)' $(foreach arch,$(ARCHS),$(arch)=$(OUT)/image/webhook-$(arch))

# What egressctl is released for.
PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

.PHONY: release-binaries
release-binaries: ## Build egressctl for PLATFORMS (all that are released), with checksums and krew's manifest, in .run/release.
	cmd/egressctl/release.sh $(OUT)/release '$(VERSION)' '$(release)' $(PLATFORMS)
	@cat $(OUT)/release/checksums.txt

# Where image and chart of a release are pushed to: host and path.
REGISTRY ?=
HELM := $(OUT)/tools/helm
# For a registry without TLS: --plain-http.
HELMFLAGS ?=
image-of-release = $(REGISTRY)/egress-governor:$(patsubst v%,%,$(VERSION))

.PHONY: release
release: helm release-binaries image-files ## Build all of a release for REGISTRY in .run/release: egressctl, the chart, what each program is made of, checksums; the image in .run/image.
	test -n '$(REGISTRY)' || { echo 'REGISTRY says where image and chart will be pushed to'; exit 1; }
	cp $(foreach arch,$(ARCHS),$(OUT)/image/webhook_linux_$(arch).cdx.json) $(OUT)/release/
	for folder in $(OUT)/release/*/; do \
		$(OUT)/tools/image bill --version '$(VERSION)' --epoch '$(SOURCE_DATE_EPOCH)' $$folder/egressctl* >$(OUT)/release/egressctl_$$(basename $$folder | tr - _).cdx.json; \
	done
	charts/package.sh $(HELM) $(OUT)/release '$(VERSION)' '$(REGISTRY)' "$$(cat $(OUT)/image/digest.txt)"
	cd $(OUT)/release && sha256sum *.tar.gz *.tgz *.cdx.json >checksums.txt
	@cat $(OUT)/release/checksums.txt

.PHONY: image-arm64-runs
image-arm64-runs: ## Run the arm64 program of make image-files, which says its version. Needs qemu-aarch64-static elsewhere than on arm64.
	@said="$$($(if $(filter arm64,$(shell go env GOARCH)),,qemu-aarch64-static) $(OUT)/image/webhook-arm64 --version)"; echo "$$said"; \
	test "$$said" = 'webhook version $(VERSION)'

.PHONY: release-push
release-push: ## Push the image and the chart of make release to REGISTRY.
	$(OUT)/tools/image push $(OUT)/image '$(image-of-release)'
	$(HELM) push $(HELMFLAGS) $(OUT)/release/egress-governor-$(patsubst v%,%,$(VERSION)).tgz 'oci://$(REGISTRY)/charts'

.PHONY: helm
helm:
	@mkdir -p $(OUT)/tools
	cd tools/cluster && go build -o $(HELM) helm.sh/helm/v4/cmd/helm

##@ Test

.PHONY: test
test: check unit alerts integration gitops routing window reliability ## Run every test that needs no container engine.

.PHONY: check
check: ## Check the form of Go.
	@files="$$(gofmt -l $$(git ls-files '*.go'))"; test -z "$$files" || { echo "gofmt: make fmt mends $$files"; exit 1; }
	go vet ./...
	cd test && go vet -tags e2e,grpcnotrace ./...
	cd test/routing && go vet ./...
	cd test/alerts && go vet ./...
	cd test/argocd && go vet ./...
	cd test/otlp && go vet ./...
	cd tools/image && go vet ./...

.PHONY: unit
unit: ## Run the unit tests, with the race detector.
	$(race) ./...
	cd test && $(race) -count=1 ./bench ./chart ./codes ./house ./laws ./proof ./recipes ./reference ./versions ./walltime
	cd test && go test -count=1 -timeout 20m ./release

.PHONY: alerts
alerts: build assets ## Try the chart's alerts and dashboard by Prometheus' own evaluation, over what a webhook serves on a real kube-apiserver; its log, and its traces by a collector's receiver.
	cd test && go test -count=1 ./operated
	cd test/alerts && go test -count=1 ./...

.PHONY: integration
integration: build assets ## Run the tests on a real kube-apiserver; they leave what routing judges of moves.
	cd test && $(race) -count=1 -timeout 40m ./integration

.PHONY: gitops
gitops: build assets ## Have Argo CD's and Flux's own code sync the chart, and what tenants write, and helm's uninstall it, on a real kube-apiserver.
	cd test && go test -count=1 -p 1 ./flux ./helm
	cd test/argocd && go test -count=1 ./...

CASES ?=

.PHONY: routing
routing: ## Prove by Istio's own generator where calls go; CASES=<folder> for manifests of your own.
ifeq ($(CASES),)
	cd test/routing && go test -count=1 -timeout 20m ./...
else
	@mkdir -p $(OUT); cases='$(abspath $(CASES))'; code=0; cd test/routing; \
	CASES="$$cases" go test -count=1 -timeout 20m -v -run '^TestCases$$' . >$(OUT)/routing.log 2>&1 || code=$$?; \
	grep -E '^ *--- |it must|no way|Error:|Messages|^ok|^FAIL' $(OUT)/routing.log; \
	test $$code = 0 || echo 'the whole output is in $(OUT)/routing.log'; exit $$code
endif

.PHONY: window
window: build assets istiod ## Judge every push of a real istiod while tenants write and delete; figures in .run/window.txt.
	cd test && go test -count=1 -timeout 20m ./window

.PHONY: reliability
reliability: build assets ## Live through bad days under a load that does not pause, on the embedded control plane; figures in .run/reliability.txt.
	cd test && go test -count=1 -timeout 20m ./reliability

DURATION ?= 10m

.PHONY: soak
soak: build assets ## Apply without pause for DURATION (10m), and see that memory, goroutines and watches stay as they are.
	cd test && go test -count=1 -timeout 24h -v -run '^TestSoak$$' ./reliability -soak $(DURATION)

.PHONY: report-test
report-test: ## Look at the page of egressctl report in a headless browser. Needs Chromium or Chrome; pictures in .run/report.
	cd test && go test -count=1 -timeout 5m ./browser

PROBE := egress-governor-probe:dev
DATABASE := egress-governor-database:dev
RUN ?=
ISTIO_HUB ?=
ISTIO_TAG ?=
# What is upgraded from: every version that was released before this one, or this one where none was.
BEFORE ?= $(or $(shell git tag --list 'v*' --no-contains HEAD --sort=v:refname 2>/dev/null),HEAD)
# A Debian or an Ubuntu, which Istio's own image is.
DATABASE_BASE ?= $(if $(ISTIO_HUB),$(ISTIO_HUB)/proxyv2:$(ISTIO_TAG),debian:bookworm-slim)

.PHONY: e2e
e2e: image e2e-tools ## Run the tests, or RUN=TestShapes alone, on a kind cluster with Istio; KEEP=1 keeps it. Needs a docker engine.
	@mkdir -p $(OUT)/e2e
	GOOS=linux go build -C test -ldflags '-s -w' -o $(OUT)/e2e/image/probe ./e2e/probe
	docker build --quiet --file test/e2e/probe/Dockerfile --tag $(PROBE) $(OUT)/e2e/image
	docker build --quiet --build-arg BASE=$(DATABASE_BASE) --tag $(DATABASE) test/e2e/database
	test/e2e/cluster/before.sh $(OUT)/e2e/before $(BEFORE) >$(OUT)/e2e/before.txt
	RUN='$(RUN)' BEFORE=$(OUT)/e2e/before.txt WEBHOOK_IMAGE=$(IMAGE) PROBE_IMAGE=$(PROBE) DATABASE_IMAGE=$(DATABASE) test/e2e/cluster/run.sh $(OUT)/tools $(OUT)/e2e

.PHONY: e2e-tools
e2e-tools: helm
	@mkdir -p $(OUT)/tools
	cd tools/cluster && go build -o $(OUT)/tools/ sigs.k8s.io/kind
	cd tools/networkpolicy && go build -o $(OUT)/tools/ github.com/cloudnativelabs/kube-router/v2/cmd/kube-router

FUZZTIME ?= 1m
FUZZFLAGS ?= -parallel 1

.PHONY: fuzz
fuzz: ## Fuzz each target in turn for FUZZTIME (1m), with FUZZFLAGS (-parallel 1); testdata/fuzz keeps what fails.
	@for file in $$(git ls-files '*fuzz_test.go'); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z]*\)(.*/\1/p' $$file); do \
			echo "$$target of $$(dirname $$file)"; \
			(cd $$(dirname $$file) && go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5s $(FUZZFLAGS) .); \
		done; \
	done

# What bench and bench-compare run: BENCH is a pattern, COUNT how often, PACKAGES where.
BENCH ?= .
COUNT ?= 6
BENCHTIME ?= 0.3s
PACKAGES ?= ./internal/admit ./internal/policy ./internal/registry ./internal/review
benchmarks := -run '^$$' -bench '$(BENCH)' -benchmem -cpu 1 -count $(COUNT) -benchtime $(BENCHTIME)

.PHONY: bench
bench: ## Run the benchmarks of BENCH (all) COUNT times (6), ready for benchstat.
	go test $(benchmarks) $(PACKAGES)

.PHONY: bench-compare
bench-compare: ## Hold the benchmarks of BENCH against those of the revision BASE (HEAD), by benchstat.
	@mkdir -p $(OUT)/bench $(OUT)/tools
	cd tools/bench && go build -o $(OUT)/tools/ golang.org/x/perf/cmd/benchstat
	rm -rf $(OUT)/bench/base && mkdir $(OUT)/bench/base && git archive $(BASE) | tar -x -C $(OUT)/bench/base
	cd $(OUT)/bench/base && go test $(benchmarks) $(PACKAGES) >$(OUT)/bench/base.txt
	go test $(benchmarks) $(PACKAGES) >$(OUT)/bench/tree.txt
	$(OUT)/tools/benchstat $(BASE)=$(OUT)/bench/base.txt tree=$(OUT)/bench/tree.txt

# Flags of test/bench, such as --rounds=2 --each=20.
BENCHFLAGS ?=

.PHONY: bench-api
bench-api: build assets ## Measure requests through a real API server, beside no webhook, a pair that does nothing and CEL (BENCHFLAGS).
	@mkdir -p $(OUT)/bench
	cd test && go build -o $(OUT)/bin/bench ./bench && $(OUT)/bin/bench --root .. $(BENCHFLAGS)

.PHONY: performance
performance: ## Run bench and bench-api, and write what they say into docs/performance.md and its plots: leave the machine alone meanwhile.
	@mkdir -p $(OUT)/bench
	go test $(benchmarks) -skip Exploding $(PACKAGES) | tee $(OUT)/bench/go.txt
	$(MAKE) bench-api
	cd test/bench/plot && go run . $(OUT)/bench/results.json $(CURDIR)/docs
	$(OUT)/bin/bench documents --root .

.PHONY: bench-growth
bench-growth: build assets ## Measure 5,000 entries of distinct hosts, 2,000 of one, one host beside 3,072, the audit of 1,000, and the start with 10,000, on the embedded control plane.
	cd test && go test -run '^$$' -bench . -benchtime 1x -timeout 60m ./growth

.PHONY: bench-routes
bench-routes: ## Measure the configuration that Istio generates for an egress gateway with up to 5,000 exits.
	cd test/routing && go test -run '^$$' -bench GatewayConfiguration -benchtime 1x .

##@ Care

.PHONY: lint
lint: opa regal ## Lint Go and its arrows, check, lint and format-check Rego (builds the linters the first time).
	cd tools/lint && go build -o $(OUT)/tools/ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	$(OUT)/tools/golangci-lint run ./...
	cd test && $(OUT)/tools/golangci-lint run --config ../.golangci.yml ./...
	$(OUT)/tools/opa check --strict --schema policies/schemas/input.json policies
	$(OUT)/tools/opa fmt --fail --diff policies
	go run ./cmd/egressctl policy lint policies --regal $(OUT)/tools/regal

.PHONY: fmt
fmt: opa ## Format Go and Rego.
	gofmt -w $$(git ls-files '*.go')
	$(OUT)/tools/opa fmt --write policies

.PHONY: opa
opa:
	@mkdir -p $(OUT)/tools
	cd tools/code && go build -o $(OUT)/tools/ github.com/open-policy-agent/opa

.PHONY: regal
regal:
	@mkdir -p $(OUT)/tools
	cd tools/regal && go build -o $(OUT)/tools/ github.com/open-policy-agent/regal

.PHONY: generate
generate: ## Regenerate deepcopy functions, the CRD, the copy of Istio's CRDs, the chart's README, docs/routing.md and references.
	@mkdir -p $(OUT)/tools
	cd tools/code && go build -o $(OUT)/tools/ sigs.k8s.io/controller-tools/cmd/controller-gen
	$(OUT)/tools/controller-gen object crd paths=./api/... output:crd:dir=$(OUT)/crd
	cp $(OUT)/crd/egress-governor.io_egresspolicies.yaml charts/egress-governor/templates/crd-egresspolicies.yaml
	install -m 644 "$$(go list -m -f '{{.Dir}}' istio.io/api)/kubernetes/customresourcedefinitions.gen.yaml" internal/apiserver/istio.yaml
	cd tools/docs && go build -o $(OUT)/tools/ github.com/norwoodj/helm-docs/cmd/helm-docs
	$(OUT)/tools/helm-docs --chart-search-root charts --sort-values-order file
	cd test/routing && go run ./table cases >$(OUT)/routing.md && cp $(OUT)/routing.md ../../docs/routing.md
	cd test && go build -o $(OUT)/bin/reference ./reference/write
	$(OUT)/bin/reference

# What generate writes.
generated := '*zz_generated*' docs/routing.md docs/codes docs/input.md docs/library.md internal/apiserver/istio.yaml charts/egress-governor/README.md charts/egress-governor/templates/crd-egresspolicies.yaml

.PHONY: verify
verify: generate opa ## Fail where generated files, go.mod or go.sum are not current, or a command of the documents fails.
	docs/check.sh $(OUT)/tools/opa
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
	rm -rf $(OUT)
