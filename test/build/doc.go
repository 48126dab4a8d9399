// Package build checks what Collectors with the receiver are built from: the
// manifests for the stock builder and their agreement with go.mod. With the build
// tag integration it also runs the configurations in deploy/otel/collector in the
// Collectors that `make collector collector-k8s` built.
package build
