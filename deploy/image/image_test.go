package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// made is an archive, taken apart.
type made struct {
	raw   []byte
	files map[string][]byte
	sbom  []byte
}

// make runs the command; the program in the image is this test itself, which has
// the Go command's information in it, as the real ones.
func makeImage(t *testing.T) made {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	licence := filepath.Join(dir, "LICENSE")
	if err := os.WriteFile(licence, []byte("do as you like\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "image.tar")
	err = run([]string{
		"-name", "registry.test:5000/team/thing:1.2", "-title", "thing", "-version", "1.2", "-created", "1700000000",
		"-revision", "abc", "-source", "https://code.test/thing", "-program", "/usr/bin/thing", "-cmd", "--config",
		"-binary", "arm64=" + program, "-binary", "amd64=" + program, "-licence", licence,
		"-out", out, "-sbom", filepath.Join(dir, "thing"),
	})
	if err != nil {
		t.Fatal(err)
	}
	m := made{files: map[string][]byte{}}
	if m.raw, err = os.ReadFile(out); err != nil {
		t.Fatal(err)
	}
	if m.sbom, err = os.ReadFile(filepath.Join(dir, "thing-arm64.spdx.json")); err != nil {
		t.Fatal(err)
	}
	walk(t, bytes.NewReader(m.raw), func(h *tar.Header, content []byte) { m.files[h.Name] = content })
	return m
}

func walk(t *testing.T, r io.Reader, each func(*tar.Header, []byte)) {
	t.Helper()
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		each(h, content)
	}
}

// blob decodes what a descriptor names, after a look at its digest and size.
func (m made) blob(t *testing.T, d v1.Descriptor, into any) []byte {
	t.Helper()
	b, ok := m.files["blobs/sha256/"+d.Digest.Hex]
	sum := sha256.Sum256(b)
	if !ok || int64(len(b)) != d.Size || hex.EncodeToString(sum[:]) != d.Digest.Hex {
		t.Fatalf("blob %s: %d bytes, want %d", d.Digest, len(b), d.Size)
	}
	if into != nil {
		if err := json.Unmarshal(b, into); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func TestSameInputSameBytes(t *testing.T) {
	if !bytes.Equal(makeImage(t).raw, makeImage(t).raw) {
		t.Error("two archives of the same input differ")
	}
}

func TestArchive(t *testing.T) {
	m := makeImage(t)
	var layout, index v1.IndexManifest
	if err := json.Unmarshal(m.files["index.json"], &layout); err != nil {
		t.Fatal(err)
	}
	if len(layout.Manifests) != 1 || layout.Manifests[0].Annotations["io.containerd.image.name"] != "registry.test:5000/team/thing:1.2" ||
		layout.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "1.2" {
		t.Fatalf("index.json: %s", m.files["index.json"])
	}
	m.blob(t, layout.Manifests[0], &index)
	var arches []string
	for _, d := range index.Manifests {
		arches = append(arches, d.Platform.Architecture)
		var manifest v1.Manifest
		var config v1.ConfigFile
		m.blob(t, d, &manifest)
		m.blob(t, manifest.Config, &config)
		if config.Architecture != d.Platform.Architecture || config.OS != "linux" {
			t.Errorf("configuration of %s is for %s/%s", d.Platform, config.OS, config.Architecture)
		}
		if c := config.Config; !slices.Equal(c.Entrypoint, []string{"/usr/bin/thing"}) || !slices.Equal(c.Cmd, []string{"--config"}) || c.User != "0:0" {
			t.Errorf("runs %q %q as %q", c.Entrypoint, c.Cmd, c.User)
		}
		for key, want := range map[string]string{"title": "thing", "version": "1.2", "revision": "abc", "created": "2023-11-14T22:13:20Z"} {
			if got := config.Config.Labels["org.opencontainers.image."+key]; got != want {
				t.Errorf("label %s is %q, want %q", key, got, want)
			}
		}
		if len(manifest.Layers) != 2 || len(config.RootFS.DiffIDs) != 2 {
			t.Fatalf("%d layers with %d ids, want 2", len(manifest.Layers), len(config.RootFS.DiffIDs))
		}
	}
	if !slices.Equal(arches, []string{"amd64", "arm64"}) {
		t.Errorf("architectures %q", arches)
	}
}

// rootFS is what a container of the image finds.
func rootFS(t *testing.T) (files map[string][]byte, heads map[string]*tar.Header) {
	t.Helper()
	m := makeImage(t)
	var layout, index v1.IndexManifest
	var manifest v1.Manifest
	if err := json.Unmarshal(m.files["index.json"], &layout); err != nil {
		t.Fatal(err)
	}
	m.blob(t, layout.Manifests[0], &index)
	m.blob(t, index.Manifests[1], &manifest)
	files, heads = map[string][]byte{}, map[string]*tar.Header{}
	for _, l := range manifest.Layers {
		z, err := gzip.NewReader(bytes.NewReader(m.blob(t, l, nil)))
		if err != nil {
			t.Fatal(err)
		}
		walk(t, z, func(h *tar.Header, content []byte) {
			name := strings.TrimSuffix(h.Name, "/")
			if parent := filepath.Dir(name); parent != "." && heads[parent] == nil {
				t.Errorf("%s comes before its directory", name)
			}
			files[name], heads[name] = content, h
		})
	}
	return files, heads
}

func TestRootFileSystem(t *testing.T) {
	files, heads := rootFS(t)
	for name, h := range heads {
		if h.ModTime.Unix() != 1700000000 || h.Uid != 0 || h.Gid != 0 {
			t.Errorf("%s is of %d:%d, from %s", name, h.Uid, h.Gid, h.ModTime)
		}
		// Nothing to run but the program, and nothing that anybody but root may change.
		if h.Typeflag == tar.TypeReg && h.Mode != 0o644 && name != "usr/bin/thing" || h.Mode&0o6000 != 0 {
			t.Errorf("%s has mode %o", name, h.Mode)
		}
		if h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir {
			t.Errorf("%s is neither file nor directory", name)
		}
	}
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(files["usr/bin/thing"], program) || heads["usr/bin/thing"].Mode != 0o755 {
		t.Error("the program is not what was given")
	}
	if string(files["usr/share/doc/thing/LICENSE"]) != "do as you like\n" {
		t.Error("no licence")
	}
	certificates := 0
	for rest := files["etc/ssl/certs/ca-certificates.crt"]; ; certificates++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			t.Error(err)
		}
	}
	if certificates < 100 { // Mozilla's list has had more than that since 2010
		t.Errorf("%d certificates", certificates)
	}
}

func TestBillOfMaterials(t *testing.T) {
	m := makeImage(t)
	var d document
	dec := json.NewDecoder(bytes.NewReader(m.sbom))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	var urls []string
	for _, p := range d.Packages {
		if ids[p.SPDXID] || p.Name == "" || p.VersionInfo == "" || p.DownloadLocation == "" {
			t.Errorf("package %+v", p)
		}
		ids[p.SPDXID] = true
		urls = append(urls, p.ExternalRefs[0].Locator)
	}
	for _, want := range []string{"pkg:golang/stdlib@1.", "pkg:golang/github.com/google/go-containerregistry@v0.", "pkg:golang/github.com/klauspost/compress@v1."} {
		if !slices.ContainsFunc(urls, func(u string) bool { return strings.HasPrefix(u, want) }) {
			t.Errorf("nothing like %s in %q", want, urls)
		}
	}
	for _, r := range d.Relationships {
		if r.Element != d.SPDXID && !ids[r.Element] || !ids[r.Related] {
			t.Errorf("%+v names what isn't there", r)
		}
	}
	if len(d.Relationships) != len(d.Packages) {
		t.Errorf("%d relationships of %d packages", len(d.Relationships), len(d.Packages))
	}
}

func TestMistakes(t *testing.T) {
	for _, args := range [][]string{
		{},
		{"-binary", "amd64"},
		{"-created", "yesterday"},
		{"-name", "x:1", "-program", "/x", "-binary", "amd64=/nonexistent", "-created", "1", "-out", filepath.Join(t.TempDir(), "x")},
	} {
		if err := run(args); err == nil {
			t.Errorf("no error for %q", args)
		}
	}
}
