//go:build linux

package hook

import _ "embed"

//go:embed program/hook_amd64.gz
var compressedProgram []byte
