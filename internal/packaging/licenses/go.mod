// A module of its own, since sluice's lists what sluice is made of.
module github.com/virt-sluice/sluice/internal/packaging/licenses

go 1.26.0

require github.com/google/licensecheck v0.3.1
