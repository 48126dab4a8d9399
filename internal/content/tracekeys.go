package content

import (
	"bytes"
	"encoding/asn1"
	"encoding/binary"
)

// maxKey bounds a private key that is looked at, in bytes of PEM.
const maxKey = 16 << 10

// keys looks for private keys in PEM. The parsers of crypto/x509 are not for
// this: they verify a key, which is costly on purpose for one made up for it.
func (t *tracer) keys(data []byte) {
	begin, dashes := []byte("-----BEGIN "), []byte("-----")
	for {
		at := bytes.Index(data, begin)
		if at < 0 {
			return
		}
		data = data[at+len(begin):]
		end := bytes.IndexByte(data, '-')
		if end < 0 || !bytes.HasPrefix(data[end:], dashes) || end > 40 {
			continue
		}
		label := string(data[:end])
		body := data[end+len(dashes):]
		stop := bytes.IndexByte(body, '-')
		if stop < 0 {
			stop = len(body)
		}
		data = body[stop:]
		if stop <= maxKey {
			t.key(label, unarmour(body[:stop]))
		}
	}
}

// unarmour decodes the base64 of a PEM block whatever breaks its lines.
func unarmour(body []byte) []byte {
	text := make([]byte, 0, len(body))
	for i := 0; i < len(body); i++ {
		if body[i] == '\\' { // \n in JSON, or \\n in JSON in JSON
			for i++; i < len(body) && body[i] == '\\'; {
				i++
			}
		} else if isBase64(body[i]) {
			text = append(text, body[i])
		}
	}
	return decode64(text)
}

func (t *tracer) key(label string, der []byte) {
	switch label {
	case opensshLabel:
		t.openssh(der)
	case "EC PRIVATE KEY":
		t.ec(der)
	case "PRIVATE KEY":
		var outer struct {
			Version   int
			Algorithm asn1.RawValue
			Key       []byte
		}
		if _, err := asn1.Unmarshal(der, &outer); err == nil {
			t.ec(outer.Key)
		}
	}
}

// ec reads the key of RFC 5915.
func (t *tracer) ec(der []byte) {
	var key struct {
		Version int
		Private []byte
		Rest    asn1.RawValue `asn1:"optional"`
		Public  asn1.RawValue `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(der, &key); err == nil && key.Version == 1 && len(key.Private) == keyBytes {
		t.add(key.Private[keyIDOffset:], "EC private key", true)
	}
}

// openssh reads an unencrypted key (PROTOCOL.key of OpenSSH).
func (t *tracer) openssh(blob []byte) {
	rest, found := bytes.CutPrefix(blob, []byte(opensshMagic))
	if !found {
		return
	}
	field := func(b []byte) (value, rest []byte) {
		if len(b) < 4 {
			return nil, nil
		}
		n := uint64(binary.BigEndian.Uint32(b))
		if n > uint64(len(b)-4) {
			return nil, nil
		}
		return b[4 : 4+n], b[4+n:]
	}
	var secret, seed []byte
	for range 3 { // cipher, key derivation and its options
		_, rest = field(rest)
	}
	if len(rest) < 4 {
		return
	}
	_, rest = field(rest[4:]) // the public key
	if secret, _ = field(rest); len(secret) < 8 {
		return
	}
	kind, rest := field(secret[8:])
	_, rest = field(rest)
	if seed, _ = field(rest); string(kind) == opensshType && len(seed) == 2*keyBytes {
		t.add(seed[keyIDOffset:], "OpenSSH private key", true)
	}
}
