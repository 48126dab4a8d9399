package image

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/json"
	"errors"
	"io"
	"testing"
)

func TestWriteIsAnOCILayout(t *testing.T) {
	imgs := Set("amd64", []byte("pause"), []byte("busybox"), []byte("first"))
	var buf bytes.Buffer
	if err := Write(&buf, imgs...); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	tr := tar.NewReader(bytes.NewReader(buf.Bytes()))
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
	}
	var idx index
	if err := json.Unmarshal(files["index.json"], &idx); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range idx.Manifests {
		names = append(names, d.Annotations[annotationName])
		var m manifest
		if err := json.Unmarshal(blobOf(t, files, d), &m); err != nil {
			t.Fatal(err)
		}
		blobOf(t, files, m.Config)
		blobOf(t, files, m.Layers[0])
	}
	if len(names) != 3 || names[0] != Pause || names[1] != Busybox || names[2] != Scratch {
		t.Errorf("image names are %q", names)
	}
	var again bytes.Buffer
	if err := Write(&again, imgs...); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(buf.Bytes(), again.Bytes()) {
		t.Error("the same images gave different bytes")
	}
}

func blobOf(t *testing.T, files map[string][]byte, d descriptor) []byte {
	t.Helper()
	b, ok := files["blobs/sha256/"+d.Digest[len("sha256:"):]]
	if !ok || len(b) != d.Size {
		t.Fatalf("blob %s: %d bytes, want %d", d.Digest, len(b), d.Size)
	}
	return b
}

func TestFirstIsAnELFFile(t *testing.T) {
	b, err := First("amd64")
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Progs) != 1 || f.Entry != f.Progs[0].Vaddr+120 || f.Progs[0].Filesz != uint64(len(b)) {
		t.Errorf("entry %#x, program headers %+v", f.Entry, f.Progs)
	}
	if _, err := First("mips"); err == nil {
		t.Error("no error for an unknown architecture")
	}
}
