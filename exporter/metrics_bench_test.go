package exporter

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkMeterObserve is what an access costs for metrics.
func BenchmarkMeterObserve(b *testing.B) {
	m := NewMeter(time.Now)
	a := sampleAccess()
	b.ReportAllocs()
	for b.Loop() {
		m.Observe(&a)
	}
}

// BenchmarkMeterPData is a collection of as many series as there can be.
func BenchmarkMeterPData(b *testing.B) {
	m, mp := NewMeter(time.Now), sampleMapping(b)
	for i := range maxSeries + 1 {
		a := sampleAccess()
		a.Placement.Token.Name = fmt.Sprint("token-", i)
		m.Observe(&a)
	}
	b.ReportAllocs()
	for b.Loop() {
		m.PData(mp, sampleState())
	}
}
