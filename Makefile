# Targets are documented by the ## behind them; `make` alone lists them.

GO      ?= go
COMMIT  := $(shell git rev-parse --short=12 HEAD 2>/dev/null)
# As git describes it by the last tag v1.2.3; without a tag, how many commits there were.
VERSION ?= $(shell git describe --tags --match 'v[0-9]*' --dirty 2>/dev/null | sed 's/^v//' | grep . || \
	git log -1 --format="0.0.0-$$(git rev-list --count HEAD)-g%h" 2>/dev/null || echo unknown)
# How long each fuzz target runs in `make fuzz`.
FUZZTIME ?= 60s
# How long `make soak` goes round.
SOAK ?= 30m
# Where `make bench` writes: a folder for each kind of processor.
RESULTS ?= bench/results/here

# The lab makes namespaces, which takes root.
AS_ROOT := $(shell test "$$(id -u)" = 0 || echo "sudo -E env PATH=$$PATH")

.DEFAULT_GOAL := help
.PHONY: help build install package release image demo test test-model test-faults test-programs test-evacuate test-ktls test-processors test-hostile test-guests test-versions test-packages roots soak bench converge lint fuzz vulncheck clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## bin/sluice, one static binary
	$(BUILD) -o bin/sluice ./cmd/sluice

# Such as nogrpc, which leaves out gRPC, and with it SPIFFE's Workload API and OTLP.
TAGS ?=
BUILD = CGO_ENABLED=0 $(GO) build -buildvcs=false -tags '$(TAGS)' -trimpath -ldflags '-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)'

# Nothing is built here: root has its own PATH, mostly without Go, and would own what it built.
PREFIX ?= /usr/local
UNITS  := $(wildcard internal/packaging/systemd/*.service internal/packaging/systemd/*.socket)
install: ## the built sluice, its units and, if there is none, a configuration (as root)
	@test -x bin/sluice || { echo "bin/sluice is missing: run 'make build' first, as yourself and not as root" >&2; exit 1; }
	install -D -m 0755 bin/sluice $(DESTDIR)$(PREFIX)/bin/sluice
	install -d -m 0755 $(DESTDIR)/etc/systemd/system $(DESTDIR)/etc/sluice/conf.d
	install -m 0644 $(UNITS) $(DESTDIR)/etc/systemd/system
	sed -i 's,^\(Exec[A-Za-z]*=\)/usr/bin/sluice,\1$(PREFIX)/bin/sluice,' $(patsubst internal/packaging/systemd/%,$(DESTDIR)/etc/systemd/system/%,$(UNITS))
	@test -e $(DESTDIR)/etc/sluice/sluice.toml || { set -x; install -D -m 0644 internal/packaging/sluice.toml $(DESTDIR)/etc/sluice/sluice.toml; }

# The tools are a module of their own, so that sluice's lists what sluice is made of.
TOOL = $(GO) tool -modfile=internal/packaging/tools.mod
ARCHES ?= amd64 arm64

LICENSES = $(GO) run -C internal/packaging/licenses .

# When the commit was made: what is packed of it is the same each time.
package release: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
PACKAGES ?= bin/package
SHARE := $(PACKAGES)/build/share
package: ## .deb and .rpm for ARCHES (amd64 arm64), into PACKAGES (bin/package)
	@rm -rf $(PACKAGES)/build && mkdir -p $(SHARE)/man $(SHARE)/completion
	$(GO) test -count=1 -run '^TestManPages$$' ./cmd/sluice -args -man $(abspath $(SHARE))/man
	gzip -9n $(SHARE)/man/*
	printf 'sluice (%s) stable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- The sluice authors <sluice@example.org>  %s\n' \
		'$(VERSION)' "$$(date -u -R -d @$$SOURCE_DATE_EPOCH)" | gzip -9n >$(SHARE)/changelog.Debian.gz
	$(LICENSES) -C $(CURDIR) ./cmd/sluice >$(SHARE)/third-party-licenses.txt
	@$(MAKE) --no-print-directory build
	bin/sluice completion bash >$(SHARE)/completion/sluice.bash
	bin/sluice completion zsh >$(SHARE)/completion/_sluice
	bin/sluice completion fish >$(SHARE)/completion/sluice.fish
	@set -e; export VERSION='$(VERSION)' PACKAGES=$(PACKAGES); \
	for ARCH in $(ARCHES); do \
		export ARCH; \
		set -x; GOARCH=$$ARCH $(BUILD) -o $(PACKAGES)/build/$$ARCH/sluice ./cmd/sluice; { set +x; } 2>/dev/null; \
		chmod -R u=rwX,go=rX $(PACKAGES)/build; \
		for packager in deb rpm; do \
			$(TOOL) nfpm package --config internal/packaging/nfpm.yaml --packager $$packager --target $(PACKAGES)/; \
		done; \
	done

RELEASE ?= bin/release
SBOM    ?= yes
release: ## what a release consists of, for ARCHES, into RELEASE (bin/release): archives, packages, SBOMs (SBOM=no: none), checksums
	@! echo '$(VERSION)' | grep -qx '[0-9]*\.[0-9]*\.[0-9]*' || grep -q '^## $(VERSION)\( \|$$\)' CHANGELOG.md || \
		{ echo "CHANGELOG.md has no heading '## $(VERSION)': say there what this release brings, and tag that commit" >&2; exit 1; }
	@rm -rf $(RELEASE)
	@$(MAKE) --no-print-directory package PACKAGES=$(RELEASE)
	@set -e; for ARCH in $(ARCHES); do \
		name=sluice-$(VERSION)-linux-$$ARCH; \
		internal/packaging/archive $(RELEASE)/build $$ARCH $$name $(RELEASE)/$$name.tar.gz; \
		test $(SBOM) = no || GOFLAGS=-trimpath $(TOOL) cyclonedx-gomod bin -json -noserial -notimestamp -std \
			-version $(VERSION) -output $(RELEASE)/$$name.cdx.json $(RELEASE)/build/$$ARCH/sluice; \
	done
	@rm -rf $(RELEASE)/build
	cd $(RELEASE) && export LC_ALL=C && sha256sum * >SHA256SUMS

BUILDAH ?= buildah
BASE    ?= gcr.io/distroless/static-debian12
image: ## sluice:VERSION, an image on BASE (distroless; scratch needs no registry), by BUILDAH
	@rm -rf bin/image && mkdir -p bin/image
	$(BUILD) -o bin/image/sluice ./cmd/sluice
	$(LICENSES) -C $(CURDIR) ./cmd/sluice >bin/image/third-party-licenses.txt
	cp LICENSE bin/image
	$(BUILDAH) build --build-arg BASE=$(BASE) --timestamp $$(git log -1 --format=%ct 2>/dev/null || echo 0) \
		-f internal/packaging/container/Containerfile -t sluice:$(VERSION) bin/image

demo: ## migrate a real guest between two hosts made on this machine (root or sudo)
	test/install
	@$(MAKE) --no-print-directory build
	$(GO) build -buildvcs=false -o bin/demo ./test/demo
	@$(AS_ROOT) bin/demo

# Packages whose tests bring up the two-host lab. The daemons in it have the race detector as well.
LABS := ./internal/check ./internal/lab ./test ./test/evacuate ./test/faults ./test/lab ./test/packages ./test/programs ./test/versions
GO_TEST = $(GO) test $(if $(AS_ROOT),-exec '$(AS_ROOT)') -timeout 40m # for one package

# File systems of other Debian releases, for hosts of the lab. They mostly wait for the network.
ROOTS = $(GO) run $(if $(AS_ROOT),-exec '$(AS_ROOT)') ./test/roots

# Tests in the lab measure and time out, so that only one package of them runs at a time. Mostly they
# wait, for links and guests that are slow on purpose: six of them keep two processors busy.
test: ## everything, the two-host lab included (SLUICE_SKIP_LAB=1 without)
	@test -n "$$SLUICE_SKIP_LAB" || test/install
	@test -n "$$SLUICE_SKIP_LAB" || test/programs/fetch bin/programs resource-agents
	@test -n "$$SLUICE_SKIP_LAB" || test/axe bin/axe
	@test -n "$$SLUICE_SKIP_LAB" || $(ROOTS) trixie >/dev/null & \
	$(GO_TEST) -race -skip '^TestProcessors$$' $(filter-out $(shell $(GO) list $(LABS)),$(shell $(GO) list ./...)); status=$$?; wait; exit $$status
	$(GO) test -C internal/packaging/licenses .
	$(GO) test -C internal/packaging/kubernetes .
	$(GO_TEST) -p 1 -parallel 6 $(LABS)
	@mkdir -p bin && $(GO_TEST) -v -run '^TestProcessors$$' ./test/guests >bin/processors.log || { cat bin/processors.log; exit 1; }
	@sed -n 's/^.*\(not tested: .*\)/\1/p' bin/processors.log

test-model: ## the model of libvirt's Finish with more faults than `make test` has time for
	$(GO) test -count=1 -run Interleaving ./proxy/departure -deep

# More of them at once than elsewhere, because most of the time all of them wait for a timeout.
test-faults: ## real migrations struck by faults, into test/faults (about an hour; root or sudo)
	test/install
	$(GO) test $(if $(AS_ROOT),-exec '$(AS_ROOT)') -count=1 -timeout 90m -parallel 8 ./test/faults -args -all -results .

test-programs: ## Nova, Pacemaker, virt-manager, … move guests (root or sudo); fetches them into bin, installs nothing
	test/install
	test/programs/fetch bin/programs resource-agents libvirt-clients python3-libvirt virt-manager libgtk-3-bin python3-nova
	$(GO) test $(if $(AS_ROOT),-exec '$(AS_ROOT)') -count=1 -timeout 30m ./test/programs -args -all

test-evacuate: ## hosts of a lab of three are emptied, also while one dies, is full or can't be reached (root or sudo)
	test/install
	$(GO) test $(if $(AS_ROOT),-exec '$(AS_ROOT)') -count=1 -timeout 30m ./test/evacuate -args -all

test-ktls: ## kernel TLS and Landlock alone, in Debian's kernels booted under QEMU's emulation (no root; fetches them once)
	$(GO) test -count=1 -v -timeout 15m -skip '^TestProcessors$$' ./test/guests -args -all

test-processors: ## AES-GCM alone, on processors that Bochs emulates (no root; fetches it once)
	$(GO) test -count=1 -v -timeout 30m -run '^TestProcessors$$' ./test/guests -args -all

test-hostile: ## migrations beside every attack that there is a test of (root or sudo)
	test/install
	$(GO) test $(if $(AS_ROOT),-exec '$(AS_ROOT)') -count=1 -v -timeout 30m -run '^TestHostile$$' ./test -args -attacks

test-guests: ## every kind of guest that there is a test of, moved both ways and compared (root or sudo)
	test/install
	$(GO) test $(if $(AS_ROOT),-exec '$(AS_ROOT)') -count=1 -timeout 30m -run '^TestGuests$$' -parallel 4 ./test -args -guests

test-versions: roots ## every way of migrating between Debian 12, 13 and testing, and their GnuTLS and OpenSSL, into docs/versions.md (root or sudo)
	$(GO) test $(if $(AS_ROOT),-exec '$(AS_ROOT)') -count=1 -timeout 90m -parallel 3 ./test/versions -args -all -results $(CURDIR)/docs/versions.md

roots: ## the libvirt and QEMU of Debian 13 and testing, and 13's modular daemons, for the lab, into the user's cache (fetches and builds them once; root or sudo)
	test/install
	$(ROOTS) trixie testing modular-trixie

test-packages: ## the packages installed, upgraded and removed on Debian 12 and 13, booted (root or sudo)
	test/install
	$(ROOTS) bookworm trixie
	$(GO) test $(if $(AS_ROOT),-exec '$(AS_ROOT)') -count=1 -timeout 30m ./test/packages -args -all

soak: ## two daemons that do everything over and over for SOAK (30m), and hold no more at its end (root or sudo)
	test/install
	$(GO) test $(if $(AS_ROOT),-exec '$(AS_ROOT)') -count=1 -v -timeout 0 -run '^TestSoak$$' ./test -args -soak $(SOAK)

bench: ## the relay beside other programs, and migrations, into RESULTS (about two hours; root or sudo)
	-bench/install
	test/install
	@$(MAKE) --no-print-directory build
	$(GO) build -buildvcs=false -o bin/bench-migration ./bench/migration
	$(AS_ROOT) bin/bench-migration -results $(RESULTS)
	$(AS_ROOT) bin/sluice bench --results $(RESULTS)

converge: ## guests that do and do not come to an end by themselves, moved by every way, into RESULTS (20 minutes; CONVERGE: more flags; root or sudo)
	test/install
	@$(MAKE) --no-print-directory build
	$(GO) build -buildvcs=false -o bin/bench-converge ./bench/converge
	$(AS_ROOT) bin/bench-converge -results $(RESULTS) $(CONVERGE)

lint: ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not gofmt's form: $$unformatted" >&2; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags kerneltls ./stream/ktls ./cmd/sluice
	$(GO) vet -tags nogrpc ./internal/credentials ./internal/telemetry ./cmd/sluice
	cd internal/packaging/licenses && $(GO) vet .
	$(GO) tool staticcheck ./...

# -fuzzminimizetime: what is new is made shorter for a minute otherwise, which would be all of it.
fuzz: ## every fuzz target for FUZZTIME (60s)
	@set -e; for f in $$(git grep -l '^func Fuzz' -- '*_test.go'); do \
		for name in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$f); do \
			echo "$$(dirname $$f) $$name"; \
			$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s ./$$(dirname $$f); \
		done; \
	done

# The database is a Go module too, so the module proxy is all that has to be reached. Findings in the
# standard library are those of the Go that builds here: a newer one mends them.
vulncheck: ## known vulnerabilities of what sluice is made of, by today's Go vulnerability database
	@rm -rf bin/vulndb && mkdir -p bin
	@set -e; \
		dir=$$(cd / && $(GO) mod download -json golang.org/x/vulndb@latest | sed -n 's/.*"Dir": "\(.*\)".*/\1/p'); \
		$(GO) run golang.org/x/vulndb/cmd/indexdb@$${dir##*@} -vulns "$$dir/data/osv" -out bin/vulndb; \
		echo "database: $${dir##*/}"
	$(GO) tool govulncheck -db "file://$(CURDIR)/bin/vulndb" -test ./...

clean: ## remove what build made
	rm -rf bin
