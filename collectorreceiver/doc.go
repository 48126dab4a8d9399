// Package collectorreceiver is the receiver "honeytoken" of the OpenTelemetry
// Collector: the node agent's core ([github.com/beesting-otel/beesting/internal/agent])
// run inside a Collector. It plants tokens in a node's containers and gives every
// access to them to the pipelines, as log records, spans and metrics.
//
// README.md says what it needs and does; metadata.yaml describes the component.
package collectorreceiver

//go:generate go test -run ^TestDocumentsAreCurrent$ -count=1 . -update
