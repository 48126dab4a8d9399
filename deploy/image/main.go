// Command image packs static Go programs into an image for several architectures
// and writes it as an OCI image layout in a tar, with an SBOM beside it. It needs
// no container daemon, no registry and no root; the same input gives the same bytes.
//
//	go run . -name NAME:TAG -title T -version V -created EPOCH -revision SHA \
//	    -program /usr/bin/NAME -binary amd64=FILE -binary arm64=FILE \
//	    -licence FILE... -out IMAGE.tar -sbom SBOM-PREFIX
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// options are what an image is made of.
type options struct {
	name, title, description, version, revision, source string
	created                                             time.Time
	program                                             string            // the path of the binary in the image
	binaries                                            map[string]string // file by GOARCH
	cmd                                                 []string
	licences                                            []string // files
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	o := options{binaries: map[string]string{}}
	var out, sbom string
	f := flag.NewFlagSet("image", flag.ContinueOnError)
	f.StringVar(&o.name, "name", "", "full name of the image with its tag")
	f.StringVar(&o.title, "title", "", "org.opencontainers.image.title")
	f.StringVar(&o.description, "description", "", "org.opencontainers.image.description")
	f.StringVar(&o.version, "version", "", "org.opencontainers.image.version")
	f.StringVar(&o.revision, "revision", "", "commit that it is built from")
	f.StringVar(&o.source, "source", "", "address of the sources")
	f.StringVar(&o.program, "program", "", "`PATH` of the program in the image")
	f.StringVar(&out, "out", "", "`FILE` for the OCI archive")
	f.StringVar(&sbom, "sbom", "", "`PREFIX` of the files for the SBOMs: PREFIX-ARCH.spdx.json")
	f.Func("created", "time of everything in the image, in `SECONDS` since 1970", func(s string) error {
		seconds, err := strconv.ParseInt(s, 10, 64)
		o.created = time.Unix(seconds, 0).UTC()
		return err
	})
	f.Func("binary", "`ARCH=FILE`, once for each architecture", func(s string) error {
		arch, file, ok := strings.Cut(s, "=")
		if !ok {
			return errors.New("not ARCH=FILE")
		}
		o.binaries[arch] = file
		return nil
	})
	f.Func("cmd", "default `ARGUMENT`, may be repeated", func(s string) error { o.cmd = append(o.cmd, s); return nil })
	f.Func("licence", "`FILE` with a licence's text, may be repeated", func(s string) error { o.licences = append(o.licences, s); return nil })
	if err := f.Parse(args); err != nil {
		return err
	}
	if o.name == "" || !filepath.IsAbs(o.program) || len(o.binaries) == 0 || out == "" || o.created.IsZero() {
		return errors.New("-name, -program, -binary, -created and -out are needed")
	}
	return build(o, out, sbom)
}

// build makes the image and writes what was asked for.
func build(o options, out, sbom string) error {
	var images []v1.Image
	for _, arch := range o.architectures() {
		bill, err := billOf(o, o.binaries[arch], arch)
		if err != nil {
			return fmt.Errorf("SBOM of %s: %w", o.binaries[arch], err)
		}
		if sbom != "" {
			if err := os.WriteFile(sbom+"-"+arch+".spdx.json", bill, 0o644); err != nil {
				return err
			}
		}
		img, err := imageOf(o, arch, bill)
		if err != nil {
			return fmt.Errorf("image for %s: %w", arch, err)
		}
		images = append(images, img)
	}
	digest, err := writeArchive(o, images, out)
	if err != nil {
		return fmt.Errorf("archive %s: %w", out, err)
	}
	_, err = fmt.Printf("%s@%s\n", o.name, digest)
	return err
}

// architectures are in one order, whatever that of the flags.
func (o options) architectures() []string {
	var out []string
	for arch := range o.binaries {
		out = append(out, arch)
	}
	slices.Sort(out)
	return out
}
