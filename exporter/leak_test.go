package exporter

import (
	"testing"

	"go.uber.org/goleak"
)

// runWithLeakCheck fails the run when a test leaves a goroutine behind.
func runWithLeakCheck(m *testing.M) { goleak.VerifyTestMain(m) }
