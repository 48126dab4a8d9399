package state

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/live"
)

// Record says what the planted files of one container are. Fields that are not
// known are zero.
type Record struct {
	Container string  `json:"container"`
	Tokens    []Token `json:"tokens"`
	// Name is the container's in its pod. It and the pod say whose tokens they
	// were when the container is gone.
	Name      string `json:"name,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Pod       string `json:"pod,omitempty"`
	PodUID    string `json:"pod_uid,omitempty"`
	// Image is the container's image as the runtime names it.
	Image string `json:"image,omitempty"`
	// CreatedAt is the runtime's word, RemovedAt is set by RemoveRecord.
	CreatedAt time.Time `json:"created_at,omitzero"`
	RemovedAt time.Time `json:"removed_at,omitzero"`
}

// Token is one planted file.
type Token struct {
	Name string `json:"name"`
	Kind string `json:"kind,omitempty"`
	// Strategy is what planted it, never beesting.StrategyAuto.
	Strategy beesting.Strategy `json:"strategy,omitempty"`
	// Path is where the container has it, File where the host does; File is
	// empty where the host has no name for it.
	Path string `json:"path"`
	File string `json:"file,omitempty"`
	// Dev and Inode are the file's as stat(2) gives them; zero if not known.
	Dev   uint64 `json:"dev,omitempty"`
	Inode uint64 `json:"inode,omitempty"`
	// ID is the canary id, 26 characters of [a-z2-7]. PlacementID is the
	// kernel's name of it; as text, since JSON's numbers end at 53 bits.
	ID          string               `json:"token_id,omitempty"`
	PlacementID beesting.PlacementID `json:"placement_id,omitempty,string"`
	PlantedAt   time.Time            `json:"planted_at"`
	// Spec changes when the policy's token does; see the agent.
	Spec string `json:"spec,omitempty"`
	// RemovedAt is set when the token was taken out of a container that went on.
	RemovedAt time.Time `json:"removed_at,omitzero"`
	// Made is what had to be made in the container for the file to be mounted.
	Made []live.Made `json:"made,omitempty"`
}

// clone shares nothing with r.
func (r Record) clone() Record {
	r.Tokens = slices.Clone(r.Tokens)
	for i := range r.Tokens {
		r.Tokens[i].Made = slices.Clone(r.Tokens[i].Made)
	}
	return r
}

// recordKey is what a container's record is stored under.
func recordKey(container string) string { return component(container) }

// component makes a file name, or a key, of s. Ids and names come from the
// runtime, and none of them may lead elsewhere.
func component(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
	}
	if s != "" && len(s) <= 128 && s[0] != '.' && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}

// WriteRecord stores r, over an earlier one of the same container. It waits for
// no disk: every reader sees r at once, and a later commit makes it last. The
// only error is that the directory is closed.
func (d *Dir) WriteRecord(r Record) error { return d.records.put(r) }

// Record returns what was stored for a container; an error that is
// fs.ErrNotExist if nothing was. It reads no disk.
func (d *Dir) Record(container string) (Record, error) { return d.records.get(container) }

// RemoveRecord moves what was stored for a container, if anything was, to the
// history. Like WriteRecord it waits for no disk.
func (d *Dir) RemoveRecord(container string) error { return d.records.remove(container) }

// Stats says how the records fare.
func (d *Dir) Stats() Stats { return d.records.statistics() }

// ByTokenID returns the placements whose canary id begins with prefix, those of
// removed containers included as far as the history goes: the latest first, at
// most MaxFound. prefix is 1 to 26 characters of [a-z2-7], five bits each, most
// significant first; who knows more bits than make whole characters filters the
// result. It reads the disk.
func (d *Dir) ByTokenID(prefix string) ([]Found, error) { return d.records.find(prefix) }
