package content

import (
	"encoding/base32"
	"fmt"
	"strings"
)

const (
	// IDLength is the length of a whole canary id as text: [a-z2-7].
	IDLength = 26
	idBytes  = 16
	idBits   = 8 * idBytes
)

func idEncoding() *base32.Encoding { return base32.StdEncoding.WithPadding(base32.NoPadding) }

// parseID reads a whole id.
func parseID(s string) (id [idBytes]byte, err error) {
	raw, err := idEncoding().DecodeString(strings.ToUpper(s))
	if err != nil || len(raw) != idBytes || s != idText(([idBytes]byte)(raw), idBits) {
		return id, fmt.Errorf("token id %.40q: not %d characters of a-z and 2-7", s, IDLength)
	}
	return ([idBytes]byte)(raw), nil
}

// idText is the id as text, or as much of the text as its first bits determine.
func idText(id [idBytes]byte, bits uint) string {
	text := strings.ToLower(idEncoding().EncodeToString(id[:]))
	if bits < idBits {
		text = text[:bits/5]
	}
	return text
}
