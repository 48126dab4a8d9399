package state

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.etcd.io/bbolt"
)

// The bounds of what is remembered of removed containers.
const (
	// DefaultMaxHistory is in placements: about 25 MB.
	DefaultMaxHistory = 50_000
	// DefaultMaxAge is a year with its audit.
	DefaultMaxAge = 400 * 24 * time.Hour
)

// apply does what a batch says, and shortens the history. It returns the number
// of placements in it. Doing it again changes nothing.
func (d *database) apply(tx *bbolt.Tx, batch map[string]change, now time.Time) (int, error) {
	meta, err := makeBuckets(tx)
	if err != nil {
		return 0, err
	}
	h := history{removed: tx.Bucket([]byte(bucketRemoved)), tokens: tx.Bucket([]byte(bucketTokens)), placements: readCount(meta)}
	containers := tx.Bucket([]byte(bucketContainers))
	for key, c := range batch {
		if c.gone != nil {
			if err := h.add(key, *c.gone); err != nil {
				return 0, err
			}
		}
		if c.live == nil {
			err = containers.Delete([]byte(key))
		} else {
			err = putJSON(containers, []byte(key), c.live)
		}
		if err != nil {
			return 0, err
		}
	}
	if err := h.shorten(d.maxPlacements, now.Add(-d.maxAge)); err != nil {
		return 0, err
	}
	return h.placements, meta.Put([]byte("placements"), []byte(strconv.Itoa(h.placements)))
}

// makeBuckets makes what isn't there and returns the first.
func makeBuckets(tx *bbolt.Tx) (*bbolt.Bucket, error) {
	for _, name := range []string{bucketMeta, bucketContainers, bucketRemoved, bucketTokens} {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return nil, fmt.Errorf("bucket %s: %w", name, err)
		}
	}
	meta := tx.Bucket([]byte(bucketMeta))
	return meta, meta.Put([]byte("schema"), []byte(strconv.Itoa(schema)))
}

func putJSON(b *bbolt.Bucket, key []byte, r *Record) error {
	value, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return b.Put(key, value)
}

// history is that of removed containers, in one transaction.
type history struct {
	removed, tokens *bbolt.Bucket
	placements      int
}

// historyKey sorts by the time of removal.
func historyKey(container string, at time.Time) []byte {
	ns := uint64(max(at.UnixNano(), 0))
	return append(binary.BigEndian.AppendUint64(nil, ns), container...)
}

func removalTime(key []byte) time.Time {
	if len(key) < 8 {
		return time.Time{}
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(key)))
}

func (h *history) add(container string, r Record) error {
	key := historyKey(container, r.RemovedAt)
	if h.removed.Get(key) == nil {
		h.placements += len(r.Tokens)
	}
	if err := putJSON(h.removed, key, &r); err != nil {
		return err
	}
	for _, t := range r.Tokens {
		if !isTokenID(t.ID) {
			continue // of a record that was written before ids were
		}
		if err := h.tokens.Put([]byte(t.ID), key); err != nil {
			return err
		}
	}
	return nil
}

// shorten removes the oldest, and what is older than a time. On pages that lead
// in a circle it ends with a DamagedError: each key is above the one before.
func (h *history) shorten(most int, oldest time.Time) error {
	var last []byte
	for {
		key, value := h.removed.Cursor().First()
		if key == nil {
			h.placements = 0
			return nil
		}
		if h.placements <= most && !removalTime(key).Before(oldest) {
			return nil
		}
		if bytes.Compare(key, last) <= 0 {
			return &DamagedError{Err: errors.New("history: the oldest can't be removed")}
		}
		// bbolt may move what a cursor gave when the bucket changes.
		key = bytes.Clone(key)
		last = key
		var r Record
		if err := json.Unmarshal(value, &r); err != nil {
			r = Record{} // it makes no sense: its index stays without it
		}
		for _, t := range r.Tokens {
			if !isTokenID(t.ID) || !bytes.Equal(h.tokens.Get([]byte(t.ID)), key) {
				continue
			}
			if err := h.tokens.Delete([]byte(t.ID)); err != nil {
				return err
			}
		}
		if err := h.removed.Delete(key); err != nil {
			return err
		}
		h.placements = max(h.placements-len(r.Tokens), 0)
	}
}
