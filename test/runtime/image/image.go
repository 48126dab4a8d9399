// Package image makes small container images without a registry: a list of
// files becomes an OCI image layout that `ctr images import` reads.
package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"time"
)

// Image is a one-layer image.
type Image struct {
	// Name is the full reference, for example "beesting.test/busybox:1".
	Name string
	// Arch is the GOARCH of the image's binaries.
	Arch string
	// Entrypoint and Cmd are the image's defaults.
	Entrypoint, Cmd []string
	// Files are the layer's content in the order in which they are unpacked; a
	// directory stands before what is in it.
	Files []File
}

// File is one entry of a layer: a directory if Dir, a symbolic link if Link is
// set, else a regular file.
type File struct {
	Path    string // without leading slash
	Mode    int64  // permission bits, set-id and sticky bits
	Dir     bool
	Link    string
	Content []byte
}

func (img Image) layer() ([]byte, error) {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, f := range img.Files {
		if err := writeEntry(tw, f); err != nil {
			return nil, fmt.Errorf("layer entry %s: %w", f.Path, err)
		}
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func writeEntry(tw *tar.Writer, f File) error {
	switch {
	case f.Dir:
		return tw.WriteHeader(&tar.Header{
			Typeflag: tar.TypeDir, Name: f.Path + "/", Mode: f.Mode, ModTime: time.Unix(0, 0),
		})
	case f.Link != "":
		return tw.WriteHeader(&tar.Header{
			Typeflag: tar.TypeSymlink, Name: f.Path, Linkname: f.Link, Mode: 0o777, ModTime: time.Unix(0, 0),
		})
	default:
		return writeFile(tw, f.Path, f.Mode, f.Content)
	}
}
