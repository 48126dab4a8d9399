package cgroup

import (
	"errors"
	"testing"
)

func TestOpenWithoutV2(t *testing.T) {
	if _, err := Open(t.TempDir()); !errors.Is(err, ErrNoV2) {
		t.Errorf("got %v", err)
	}
}
