package beesting

import "strings"

// SplitImage takes the reference of an image apart: name[:tag][@digest], where
// name is the repository with the registry, if that is given. A reference that is
// only an id has no name. Nothing is checked or completed.
func SplitImage(ref string) (name, tag, digest string) {
	name, digest, _ = strings.Cut(ref, "@")
	// A colon before the last slash belongs to the registry's port.
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name, tag = name[:i], name[i+1:]
	}
	if isHex(tag) && name == "sha256" {
		return "", "", ""
	}
	if isHex(name) {
		return "", "", digest
	}
	return name, tag, digest
}

// isHex reports whether s is a SHA-256 sum as text.
func isHex(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}
