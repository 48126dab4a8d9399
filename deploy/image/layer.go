package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// file is one entry of a layer; a directory without content and with dir set.
type file struct {
	path    string
	mode    int64
	dir     bool
	content []byte
}

// baseFiles is everything that is not the program: what Go's standard library
// looks for (net, os/user, crypto/x509, time), and nothing to run.
func baseFiles() ([]file, error) {
	roots, err := certificates()
	if err != nil {
		return nil, err
	}
	return []file{
		{path: "etc", mode: 0o755, dir: true},
		{path: "etc/group", mode: 0o644, content: []byte("root:x:0:\nnonroot:x:65532:\n")},
		// Without it Go's resolver asks DNS before /etc/hosts, which the kubelet mounts.
		{path: "etc/nsswitch.conf", mode: 0o644, content: []byte("hosts: files dns\n")},
		{path: "etc/passwd", mode: 0o644, content: []byte("root:x:0:0:root:/:/nonexistent\nnonroot:x:65532:65532:nonroot:/:/nonexistent\n")},
		{path: "etc/ssl", mode: 0o755, dir: true},
		{path: "etc/ssl/certs", mode: 0o755, dir: true},
		{path: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, content: roots},
		{path: "tmp", mode: 0o1777, dir: true},
	}, nil
}

// certificates are Mozilla's authorities in PEM, at the version in go.mod: a file of
// the build machine would make the image depend on it. Those that are trusted under
// conditions only are left out, as PEM has no words for a condition.
func certificates() ([]byte, error) {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// programFiles are the program, its licences and its SBOM.
func programFiles(o options, arch string, bill []byte) ([]file, error) {
	program, err := os.ReadFile(o.binaries[arch])
	if err != nil {
		return nil, err
	}
	doc := path.Join("usr/share/doc", path.Base(o.program))
	files := []file{
		{path: "usr", mode: 0o755, dir: true},
		{path: "usr/bin", mode: 0o755, dir: true},
		{path: strings.TrimPrefix(o.program, "/"), mode: 0o755, content: program},
		{path: "usr/share", mode: 0o755, dir: true},
		{path: "usr/share/doc", mode: 0o755, dir: true},
		{path: doc, mode: 0o755, dir: true},
		{path: path.Join(doc, "sbom.spdx.json"), mode: 0o644, content: bill},
	}
	for _, name := range o.licences {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		files = append(files, file{path: path.Join(doc, filepath.Base(name)), mode: 0o644, content: text})
	}
	return files, nil
}

func layerOf(files []file, at time.Time) (v1.Layer, error) {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.path, Mode: f.mode, Size: int64(len(f.content)), ModTime: at, Format: tar.FormatPAX}
		if f.dir {
			h.Typeflag, h.Name = tar.TypeDir, f.path+"/"
		}
		if err := tw.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("entry %s: %w", f.path, err)
		}
		if _, err := tw.Write(f.content); err != nil {
			return nil, fmt.Errorf("entry %s: %w", f.path, err)
		}
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}

// imageOf has two layers: what is the same for every program, and the program.
func imageOf(o options, arch string, bill []byte) (v1.Image, error) {
	base, err := baseFiles()
	if err != nil {
		return nil, err
	}
	program, err := programFiles(o, arch, bill)
	if err != nil {
		return nil, err
	}
	var adds []mutate.Addendum
	for _, part := range []struct {
		comment string
		files   []file
	}{{"certificates, users", base}, {o.title, program}} {
		layer, err := layerOf(part.files, o.created)
		if err != nil {
			return nil, err
		}
		history := v1.History{Created: v1.Time{Time: o.created}, CreatedBy: "deploy/image", Comment: part.comment}
		adds = append(adds, mutate.Addendum{Layer: layer, History: history})
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if img, err = mutate.Append(img, adds...); err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.Architecture, config.OS, config.Created = arch, "linux", v1.Time{Time: o.created}
	config.Config = v1.Config{
		Entrypoint: []string{o.program}, Cmd: o.cmd, WorkingDir: "/", User: "0:0",
		Env: []string{"PATH=/usr/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"}, Labels: o.labels(),
	}
	return mutate.ConfigFile(img, config)
}

// labels are those of the OCI image specification, annotations.md.
func (o options) labels() map[string]string {
	out := map[string]string{
		"org.opencontainers.image.created":  o.created.Format(time.RFC3339),
		"org.opencontainers.image.licenses": "Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause)",
		"org.opencontainers.image.vendor":   "beesting",
	}
	for key, value := range map[string]string{
		"title": o.title, "description": o.description, "version": o.version, "revision": o.revision, "source": o.source, "url": o.source,
	} {
		if value != "" {
			out["org.opencontainers.image."+key] = value
		}
	}
	return out
}
