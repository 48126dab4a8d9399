package ctd

import "testing"

func TestMayLowerOOMScore(t *testing.T) {
	tests := []struct {
		status string
		want   bool
		bad    bool
	}{
		{status: "Name:\tx\nCapEff:\t000001ffffffffff\nCapBnd:\t0\n", want: true},
		{status: "CapPrm:\t000001ffffffffff\nCapEff:\t000001fffeffffff\n"},
		{status: "CapEff:\t0000000001000000\n", want: true},
		{status: "CapEff:\tnone\n", bad: true},
		{status: "Name:\tx\n", bad: true},
	}
	for _, tt := range tests {
		got, err := mayLowerOOMScore([]byte(tt.status))
		if got != tt.want || (err != nil) != tt.bad {
			t.Errorf("%q: %t, %v", tt.status, got, err)
		}
	}
}

func TestIsDaemon(t *testing.T) {
	const dir = "/tmp/bsnode-1"
	tests := map[string]bool{
		"/opt/bin/containerd\x00--config\x00/tmp/bsnode-1/containerd.toml\x00":                  true,
		"containerd-shim-runc-v2\x00-namespace\x00k8s.io\x00-address\x00/tmp/bsnode-1/ctd.sock": true,
		"containerd-shim-runc-v2\x00-address\x00/tmp/bsnode-12/ctd.sock\x00":                    false,
		"containerd-shim-runc-v2\x00-address\x00/run/containerd/containerd.sock\x00":            false,
		"less\x00/tmp/bsnode-1/containerd.log\x00":                                              false,
		"/tmp/bsnode-1/containerd\x00":                                                          false,
		"":                                                                                      false,
	}
	for cmdline, want := range tests {
		if got := isDaemon([]byte(cmdline), dir); got != want {
			t.Errorf("%q: %t, want %t", cmdline, got, want)
		}
	}
}
