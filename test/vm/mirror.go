package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// suites are the Debian suites kernels are looked for in; security suites live
// in an archive of their own.
var suites = [...]string{
	"bullseye", "bullseye-security", "bookworm", "bookworm-security",
	"trixie", "trixie-security", "trixie-backports", "sid",
}

// listsAge is how old package lists may be before a look-up fetches them again.
const listsAge = 24 * time.Hour

// mirror reads Debian's package lists through an apt configuration of its own:
// the machine's sources stay as they are, and only the address of its mirror is
// taken from them.
type mirror struct {
	dir      string
	arch     arch
	progress io.Writer
}

// resolve finds the kernel for selector and the packages it is made of.
func (m *mirror) resolve(ctx context.Context, selector string, refresh bool) (Kernel, []string, error) {
	if err := m.update(ctx, refresh); err != nil {
		return Kernel{}, nil, err
	}
	names, err := m.aptCache(ctx, "search", "--names-only", `^linux-image-[0-9].*-`+m.arch.flavour+`$`)
	if err != nil {
		return Kernel{}, nil, err
	}
	var releases []string
	for line := range strings.Lines(string(names)) {
		name, _, _ := strings.Cut(line, " ")
		release := strings.TrimSuffix(strings.TrimPrefix(name, "linux-image-"), "-"+m.arch.flavour)
		// Meta packages are named like "6.12-cloud-amd64".
		if !isSeries(release) {
			releases = append(releases, release)
		}
	}
	release, note, err := selectRelease(selector, releases)
	if err != nil {
		return Kernel{}, nil, err
	}
	k := Kernel{Selector: selector, Release: release + "-" + m.arch.flavour, Note: note}
	image := "linux-image-" + k.Release
	packages, err := m.parts(ctx, image)
	if err != nil {
		return Kernel{}, nil, err
	}
	k.Version, err = m.version(ctx, image)
	return k, packages, err
}

// parts lists the packages that image is made of: itself up to 6.18, later also
// the packages of the same release that it depends on, with the image, the
// modules and their list of built-in ones.
func (m *mirror) parts(ctx context.Context, image string) ([]string, error) {
	out, err := m.aptCache(ctx, "depends", "--important", image)
	if err != nil {
		return nil, err
	}
	packages := []string{image}
	for line := range strings.Lines(string(out)) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: ")
		if ok && strings.HasPrefix(name, "linux-") && strings.HasSuffix(name, strings.TrimPrefix(image, "linux-image")) {
			packages = append(packages, name)
		}
	}
	return packages, nil
}

func (m *mirror) version(ctx context.Context, name string) (string, error) {
	out, err := m.aptCache(ctx, "show", "--no-all-versions", name)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(out)) {
		if v, ok := strings.CutPrefix(line, "Version: "); ok {
			return strings.TrimSpace(v), nil
		}
	}
	return "", fmt.Errorf("package %s: no version in the package lists", name)
}

// download fetches packages into dir; apt checks them against the signed lists.
func (m *mirror) download(ctx context.Context, dir string, packages []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	fmt.Fprintf(m.progress, "vm: downloading %s\n", strings.Join(packages, " "))
	cmd := exec.CommandContext(ctx, "apt-get", append(append(m.options(), "-qq", "download"), packages...)...)
	cmd.Dir = dir
	_, err := output(cmd)
	return err
}

// update fetches the package lists when they are missing or old. A suite that is
// gone from the mirror leaves the others usable.
func (m *mirror) update(ctx context.Context, force bool) error {
	stamp := filepath.Join(m.dir, "updated")
	if info, err := os.Stat(stamp); err == nil && !force && time.Since(info.ModTime()) < listsAge {
		return nil
	}
	sources, err := m.sources(ctx)
	if err != nil {
		return err
	}
	for _, dir := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(m.dir, dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(m.dir, "sources.list"), sources, 0o644); err != nil {
		return err
	}
	fmt.Fprintln(m.progress, "vm: reading Debian's package lists")
	if _, err := output(exec.CommandContext(ctx, "apt-get", append(m.options(), "-qq", "update")...)); err != nil {
		fmt.Fprintf(m.progress, "vm: some package lists are not to be had: %v\n", err)
	}
	lists, err := filepath.Glob(filepath.Join(m.dir, "lists", "*_Packages*"))
	if err != nil || len(lists) == 0 {
		return errors.Join(errors.New("package lists: none to be had from the mirror"), err)
	}
	return os.WriteFile(stamp, nil, 0o644)
}

// sources writes a sources.list with all suites from the machine's own mirrors.
func (m *mirror) sources(ctx context.Context) ([]byte, error) {
	// Without OnlyPresent=false a machine that was never updated has no target.
	cmd := exec.CommandContext(ctx, "apt-get", "indextargets", "-o", "APT::Get::IndexTargets::OnlyPresent=false",
		"--no-release-info", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages")
	out, err := output(cmd)
	if err != nil {
		return nil, err
	}
	main, security := mirrorsFrom(string(out))
	if main == "" {
		return nil, errors.New("apt sources: no Debian mirror in them (want a source whose suite is a Debian release)")
	}
	var buf bytes.Buffer
	for _, s := range suites {
		base := main
		if strings.HasSuffix(s, "-security") {
			base = security
		}
		if base != "" {
			// Only the package list: no translations, no application metadata.
			fmt.Fprintf(&buf, "deb [target=Packages arch=%s] %s %s main\n", m.arch.name, base, s)
		}
	}
	return buf.Bytes(), nil
}

// mirrorsFrom finds the addresses of Debian's archive and of its security
// archive in lines of "address suite".
func mirrorsFrom(targets string) (main, security string) {
	releases := []string{"bullseye", "bookworm", "trixie", "forky", "duke", "sid", "oldoldstable", "oldstable", "stable", "testing", "unstable"}
	for line := range strings.Lines(targets) {
		uri, suite, ok := strings.Cut(strings.TrimSpace(line), " ")
		// Other archives use Debian's suite names too; Debian's own ends so on
		// every mirror.
		path := strings.TrimSuffix(uri, "/")
		if !ok || !slices.Contains(releases, strings.TrimSuffix(suite, "-security")) {
			continue
		}
		switch {
		case strings.HasSuffix(suite, "-security") && security == "":
			security = uri
		case !strings.HasSuffix(suite, "-security") && main == "" && strings.HasSuffix(path, "/debian"):
			main = uri
		}
	}
	return main, security
}

func (m *mirror) aptCache(ctx context.Context, args ...string) ([]byte, error) {
	return output(exec.CommandContext(ctx, "apt-cache", append(m.options(), args...)...))
}

// options is the private apt configuration.
func (m *mirror) options() []string {
	var out []string
	for _, o := range []string{
		"Dir::Etc::SourceList=" + filepath.Join(m.dir, "sources.list"),
		"Dir::Etc::SourceParts=/dev/null",
		"Dir::State::Lists=" + filepath.Join(m.dir, "lists"),
		"Dir::State::status=/dev/null",
		"Dir::Cache=" + m.dir,
		"Acquire::Languages=none",
		// The cache belongs to this user; apt's own download user can't write
		// there.
		"APT::Sandbox::User=root",
		"APT::Architecture=" + m.arch.name,
	} {
		out = append(out, "-o", o)
	}
	return out
}
