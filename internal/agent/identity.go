package agent

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"hash"
	"strings"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/internal/agent/account"
)

// Identity derives the ids of placements from the node's key, so that they are
// the same after a restart, and nobody without the key can make them up.
type Identity struct {
	key []byte
}

// NewIdentity takes the node's key.
func NewIdentity(key []byte) Identity { return Identity{key: key} }

// TokenID is the canary id of a token in a container: 26 characters of
// [a-z2-7], 128 bits of a MAC.
func (i Identity) TokenID(container, token string) string {
	sum := i.mac("token", container, token)
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:16]))
}

// Seed is what the content of a token in a container is made from.
func (i Identity) Seed(container, token string) [32]byte {
	return [32]byte(i.mac("content", container, token))
}

// nodeSeed is what contents of the node have in common.
func (i Identity) nodeSeed() [32]byte { return [32]byte(i.mac("contents")) }

// PlacementID is the kernel's name of a token in a container. A container id
// is never used again, so neither is this. Among 100,000 placements two are the
// same with a probability of 3e-10; Arm refuses the second.
func (i Identity) PlacementID(container, token string) beesting.PlacementID {
	id := binary.BigEndian.Uint64(i.mac("placement", container, token))
	return beesting.PlacementID(max(id, 1)) // zero means none
}

func (i Identity) mac(purpose string, parts ...string) []byte {
	mac := hmac.New(sha256.New, i.key)
	writeText(mac, purpose)
	for _, part := range parts {
		writeText(mac, part)
	}
	return mac.Sum(nil)
}

// writeText prefixes the length, so that no two lists of texts are the same
// bytes. Writing to a hash returns no error.
func writeText(h hash.Hash, s string) {
	writeNumber(h, uint64(len(s)))
	_, _ = h.Write([]byte(s))
}

func writeNumber(h hash.Hash, n uint64) {
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, n))
}

// accessID names a touch: boot, token, process, thread and the nanosecond. Two
// processes that see the same touch of the same token give the same id.
func accessID(bootID string, p beesting.Placement, e bpf.Event) beesting.AccessID {
	h := sha256.New()
	writeText(h, "access")
	writeText(h, bootID)
	writeText(h, p.TokenID)
	if p.TokenID == "" {
		writeNumber(h, uint64(p.ID))
	}
	writeNumber(h, uint64(e.Kind))
	writeNumber(h, uint64(e.PID))
	writeNumber(h, uint64(e.StartTime))
	writeNumber(h, uint64(e.Time))
	writeNumber(h, uint64(e.TID))
	return beesting.AccessID(h.Sum(nil)[:16])
}

// summaryID names touches that no event told of, by the process and the last of
// them.
func summaryID(bootID string, p beesting.Placement, t account.Summary) beesting.AccessID {
	h := sha256.New()
	purpose := "repeats"
	if t.Estimate {
		purpose = "share"
	}
	writeText(h, purpose)
	writeText(h, bootID)
	writeText(h, p.TokenID)
	if p.TokenID == "" {
		writeNumber(h, uint64(p.ID))
	}
	for _, n := range []uint64{
		uint64(t.Key.Kind), uint64(t.Key.Variant), uint64(t.Key.PID), uint64(t.Key.Start), uint64(t.Last), t.Count,
	} {
		writeNumber(h, n)
	}
	return beesting.AccessID(h.Sum(nil)[:16])
}

// incidentID names the entry process, or the process itself where that isn't
// known.
func incidentID(bootID string, e bpf.Event) beesting.IncidentID {
	pid, start := e.EntryPID, e.EntryStartTime
	if pid == 0 {
		pid, start = e.PID, e.StartTime
	}
	h := sha256.New()
	writeText(h, "incident")
	writeText(h, bootID)
	writeNumber(h, uint64(pid))
	writeNumber(h, uint64(start/time.Nanosecond))
	id := beesting.IncidentID(h.Sum(nil)[:16])
	if id == (beesting.IncidentID{}) {
		id[15] = 1 // never all zero
	}
	return id
}
