// Package exporter turns a [beesting.Access] into telemetry and delivers it.
//
// A [Mapping] holds the one table that says which attribute carries what; every
// output uses it, so that the same access looks the same everywhere. The
// outputs are [NewOTLP] (OpenTelemetry log records and spans to an OTLP end
// point), [NewPData] (the same to functions of a Collector), [NewJSON] (one JSON
// object per line) and [NewText] (for a person at a terminal). Each has
//
//	Deliver(ctx context.Context, a beesting.Access) error
//	End(ctx context.Context, a beesting.Access) error
//	Gap(ctx context.Context, g beesting.Gap) error
//	Shutdown(ctx context.Context) error
//
// (PData has Detach and Close for Shutdown, since its signals come and go) and
// is safe for concurrent use. The reference of every attribute, made from
// the table, is docs/telemetry.md.
package exporter

//go:generate go test -run ^(TestTelemetryReference|TestExamples)$ -count=1 . -update
