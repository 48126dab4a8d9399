package bpf

import (
	"strings"
	"testing"
)

// What a kprobe can't know is said, beside what no mode sees.
func TestCoverageOfKprobes(t *testing.T) {
	for _, mode := range Modes() {
		for _, k := range CoverageOf(mode, TierRecon) {
			limit := limitOfKprobes(k.Kind)
			if says := limit != "" && strings.HasSuffix(k.Note, limit); says != (mode == ModeKprobe && limit != "") {
				t.Errorf("%s, %s: %q", mode, k.Kind, k.Note)
			}
			if k.Kind == KindLink && !strings.HasPrefix(k.Note, noteExdev) {
				t.Errorf("%s, link: %q", mode, k.Note)
			}
			if strings.HasPrefix(k.Note, ";") {
				t.Errorf("%s, %s: %q", mode, k.Kind, k.Note)
			}
		}
	}
}
