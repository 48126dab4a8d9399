package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

// The parts of SPDX 2.3 that an SBOM of a Go program needs
// (https://spdx.github.io/spdx-spec/v2.3/).
type document struct {
	SPDXVersion       string         `json:"spdxVersion"`
	DataLicense       string         `json:"dataLicense"`
	SPDXID            string         `json:"SPDXID"`
	Name              string         `json:"name"`
	DocumentNamespace string         `json:"documentNamespace"`
	CreationInfo      creationInfo   `json:"creationInfo"`
	DocumentDescribes []string       `json:"documentDescribes"`
	Packages          []spdxPackage  `json:"packages"`
	Relationships     []relationship `json:"relationships"`
}

type creationInfo struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	SPDXID           string        `json:"SPDXID"`
	Name             string        `json:"name"`
	VersionInfo      string        `json:"versionInfo,omitempty"`
	DownloadLocation string        `json:"downloadLocation"`
	FilesAnalyzed    bool          `json:"filesAnalyzed"`
	LicenseConcluded string        `json:"licenseConcluded"`
	LicenseDeclared  string        `json:"licenseDeclared"`
	CopyrightText    string        `json:"copyrightText"`
	SourceInfo       string        `json:"sourceInfo,omitempty"`
	Purpose          string        `json:"primaryPackagePurpose,omitempty"`
	Checksums        []checksum    `json:"checksums,omitempty"`
	ExternalRefs     []externalRef `json:"externalRefs,omitempty"`
}

type checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type externalRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type relationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

const unknown = "NOASSERTION"

// billOf says what a Go program is made of, from the information that the Go
// command writes into every binary (`go version -m`).
func billOf(o options, name, arch string) ([]byte, error) {
	info, err := buildinfo.ReadFile(name)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	digest := hex.EncodeToString(sum[:])
	const main = "SPDXRef-program"
	d := document{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: "SPDXRef-DOCUMENT",
		Name: fmt.Sprintf("%s-%s-%s", o.title, o.version, arch),
		// Has to be unique to the document; the program's digest makes it so.
		DocumentNamespace: o.source + "/spdx/" + digest,
		CreationInfo:      creationInfo{Created: o.created.Format(time.RFC3339), Creators: []string{"Tool: deploy/image"}},
		DocumentDescribes: []string{main},
		Packages: []spdxPackage{{
			SPDXID: main, Name: info.Main.Path, VersionInfo: o.version, DownloadLocation: o.source,
			LicenseConcluded: unknown, LicenseDeclared: "Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause)", CopyrightText: unknown,
			Purpose: "APPLICATION", Checksums: []checksum{{"SHA256", digest}},
			ExternalRefs: []externalRef{packageURL(info.Main.Path, o.version)},
		}},
		Relationships: []relationship{{"SPDXRef-DOCUMENT", "DESCRIBES", main}},
	}
	parts := []spdxPackage{module("SPDXRef-go", "stdlib", strings.TrimPrefix(info.GoVersion, "go"), "")}
	for i, dep := range info.Deps {
		used := *dep
		if dep.Replace != nil && dep.Replace.Version != "" { // else a directory, which is this repository's
			used = *dep.Replace
		}
		if used.Version == "" || dep.Replace != nil && dep.Replace.Version == "" {
			used = debug.Module{Path: dep.Path, Version: o.version}
		}
		parts = append(parts, module(fmt.Sprintf("SPDXRef-module-%d", i+1), used.Path, used.Version, used.Sum))
	}
	for _, p := range parts {
		d.Packages = append(d.Packages, p)
		d.Relationships = append(d.Relationships, relationship{main, "DEPENDS_ON", p.SPDXID})
	}
	out, err := json.MarshalIndent(d, "", " ")
	return append(out, '\n'), err
}

func module(id, path, version, sum string) spdxPackage {
	p := spdxPackage{
		SPDXID: id, Name: path, VersionInfo: version, DownloadLocation: unknown,
		LicenseConcluded: unknown, LicenseDeclared: unknown, CopyrightText: unknown,
		ExternalRefs: []externalRef{packageURL(path, version)},
	}
	if sum != "" {
		// The Go command's own digest of a module is over the files' digests, which
		// SPDX has no name for.
		p.SourceInfo = "go.sum: " + sum
	}
	return p
}

// packageURL names a module as vulnerability scanners do
// (https://github.com/package-url/purl-spec, type golang).
func packageURL(path, version string) externalRef {
	return externalRef{"PACKAGE-MANAGER", "purl", "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")}
}
