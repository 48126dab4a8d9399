package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/beesting-otel/beesting"
)

// Source is what a configuration was read from: its file and those that it
// names, each with a digest of what was in it. The zero value is of no file.
type Source struct{ parts []part }

// part is one file. digest is of its content, or else says why that can't be had.
type part struct{ path, digest string }

// LoadSource is [Load] and says what was read. The Source is good also with an
// error: it has the files that were asked for.
func LoadSource(path string, env Environment) (Config, Source, error) {
	p := &parser{file: path, dir: filepath.Dir(path), env: env}
	data, err := p.read(path, MaxFile)
	if err != nil {
		return Config{}, p.source, fmt.Errorf("configuration: %w", err)
	}
	c := p.document(data)
	if err := p.err(); err != nil {
		return Config{}, p.source, err
	}
	return c, p.source, nil
}

// read reads a file and notes that it did.
func (p *parser) read(path string, limit int64) ([]byte, error) {
	data, digest, err := readDigest(path, limit)
	p.source.parts = append(p.source.parts, part{path, digest})
	return data, err
}

func readDigest(path string, limit int64) (data []byte, digest string, err error) {
	data, err = readBounded(path, limit)
	if err != nil {
		return nil, "error: " + err.Error(), err
	}
	sum := sha256.Sum256(data)
	return data, hex.EncodeToString(sum[:]), nil
}

// Now reads the same files again.
func (s Source) Now() Source {
	now := Source{parts: make([]part, len(s.parts))}
	for i, p := range s.parts {
		limit := int64(beesting.MaxTokenContent)
		if i == 0 {
			limit = MaxFile
		}
		_, digest, _ := readDigest(p.path, limit) // the digest has the error
		now.parts[i] = part{p.path, digest}
	}
	return now
}

// Equal reports whether both are of the same files with the same contents.
func (s Source) Equal(other Source) bool { return slices.Equal(s.parts, other.parts) }

// Hash is a SHA-256 sum in hexadecimal over the names and contents of the files,
// to tell which configuration several agents have.
func (s Source) Hash() string {
	h := sha256.New()
	for _, p := range s.parts {
		_, _ = fmt.Fprintf(h, "%s %s\n", strconv.Quote(p.path), p.digest) // a hash never fails
	}
	return hex.EncodeToString(h.Sum(nil))
}
