// Package build checks what Collectors with the receiver are built from: the
// manifests for the stock builder, their agreement with go.mod, and, with the
// build tag integration, the configurations in deploy/otel/collector as the
// built Collectors take them.
package build
