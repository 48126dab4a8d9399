package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"time"
)

// Media types of the OCI image specification 1.1. Layers are not compressed:
// the images are small, and unpacking gzip is slow under an emulated CPU.
const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar"
)

// annotationName is where containerd's importer looks for an image's name
// (core/images/archive in containerd 2.x).
const annotationName = "io.containerd.image.name"

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

type imageConfig struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Config       struct {
		Env        []string `json:"Env,omitempty"`
		Entrypoint []string `json:"Entrypoint,omitempty"`
		Cmd        []string `json:"Cmd,omitempty"`
	} `json:"config"`
	RootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

// layout writes an OCI image layout as a tar stream.
type layout struct {
	tw    *tar.Writer
	index index
	seen  map[string]bool
}

// Write writes images as one OCI layout tar to w. The same images give the
// same bytes.
func Write(w io.Writer, images ...Image) error {
	l := layout{
		tw:    tar.NewWriter(w),
		index: index{SchemaVersion: 2, MediaType: typeIndex},
		seen:  map[string]bool{},
	}
	for _, img := range images {
		if err := l.add(img); err != nil {
			return fmt.Errorf("image %s: %w", img.Name, err)
		}
	}
	idx, err := json.Marshal(l.index)
	if err != nil {
		return err
	}
	if err := writeFile(l.tw, "index.json", 0o644, idx); err != nil {
		return err
	}
	if err := writeFile(l.tw, "oci-layout", 0o644, []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return err
	}
	return l.tw.Close()
}

func (l *layout) add(img Image) error {
	layer, err := img.layer()
	if err != nil {
		return err
	}
	layerDesc, err := l.blob(typeLayer, layer)
	if err != nil {
		return err
	}
	cfg := imageConfig{Architecture: img.Arch, OS: "linux"}
	cfg.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cfg.Config.Entrypoint = img.Entrypoint
	cfg.Config.Cmd = img.Cmd
	cfg.RootFS.Type = "layers"
	cfg.RootFS.DiffIDs = []string{layerDesc.Digest}
	cfgDesc, err := l.json(typeConfig, cfg)
	if err != nil {
		return err
	}
	mf, err := l.json(typeManifest, manifest{
		SchemaVersion: 2,
		MediaType:     typeManifest,
		Config:        cfgDesc,
		Layers:        []descriptor{layerDesc},
	})
	if err != nil {
		return err
	}
	mf.Annotations = map[string]string{annotationName: img.Name}
	l.index.Manifests = append(l.index.Manifests, mf)
	return nil
}

func (l *layout) json(mediaType string, v any) (descriptor, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return descriptor{}, err
	}
	return l.blob(mediaType, b)
}

func (l *layout) blob(mediaType string, b []byte) (descriptor, error) {
	sum := sha256.Sum256(b)
	name := hex.EncodeToString(sum[:])
	d := descriptor{MediaType: mediaType, Digest: "sha256:" + name, Size: len(b)}
	if l.seen[name] {
		return d, nil
	}
	l.seen[name] = true
	return d, writeFile(l.tw, path.Join("blobs/sha256", name), 0o644, b)
}

func writeFile(tw *tar.Writer, name string, mode int64, b []byte) error {
	err := tw.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg,
		Name:     name,
		Mode:     mode,
		Size:     int64(len(b)),
		ModTime:  time.Unix(0, 0),
	})
	if err != nil {
		return err
	}
	_, err = io.Copy(tw, bytes.NewReader(b))
	return err
}
