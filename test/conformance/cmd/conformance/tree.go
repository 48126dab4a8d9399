package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// guestPackage runs in the VM, and has the sensor in it.
const guestPackage = "github.com/beesting-otel/beesting/test/conformance/internal/guest"

// touchSources are the toucher's sources, compiled in this order.
func touchSources() ([]string, error) {
	sources, err := filepath.Glob("test/conformance/touch/*.c")
	if err == nil && len(sources) == 0 {
		err = errors.New("toucher: no sources here; run this from the module's root")
	}
	return sources, err
}

// tree is a hash of the sources of all that decides what a cell shows: the
// toucher, and every package in the guest's program, the eBPF objects that they
// embed among them. Other modules count by their version. Comments count too:
// that a change makes no difference is not for this program to say.
func tree(arch string) (string, error) {
	const format = `{{if .Module}}{{if .Module.Main}}{{$d := .Dir}}` +
		`{{range .GoFiles}}file {{$d}}/{{.}}{{"\n"}}{{end}}{{range .SFiles}}file {{$d}}/{{.}}{{"\n"}}{{end}}` +
		`{{range .EmbedFiles}}file {{$d}}/{{.}}{{"\n"}}{{end}}` +
		`{{else}}module {{.Module.Path}} {{.Module.Version}}{{"\n"}}{{end}}{{end}}`
	cmd := exec.Command("go", "list", "-deps", "-f", format, guestPackage)
	cmd.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0", "GOARCH="+arch)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("packages of the guest's program: %w", err)
	}
	sources, err := touchSources()
	if err != nil {
		return "", err
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for _, s := range append(sources, "test/conformance/touch/touch.h") {
		lines = append(lines, "file "+s)
	}
	root, err := os.Getwd()
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, line := range lines {
		path, isFile := strings.CutPrefix(line, "file ")
		if !isFile {
			fmt.Fprintln(sum, line)
			continue
		}
		// Wherever the tree lies.
		fmt.Fprintln(sum, strings.TrimPrefix(path, root+"/"))
		if err := hashFile(sum, path); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil))[:16], nil
}

func hashFile(sum io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(sum, f)
	return err
}
