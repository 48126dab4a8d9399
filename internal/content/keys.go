package content

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

const (
	keyBytes    = 32 // of an Ed25519 seed and of a scalar of P-256
	keyIDOffset = 8
)

// The parts of an OpenSSH private key that never vary here (PROTOCOL.key of
// OpenSSH).
const (
	opensshLabel = "OPENSSH PRIVATE KEY"
	opensshMagic = "openssh-key-v1\x00"
	opensshType  = "ssh-ed25519"
)

func (j *job) ssh() ([]byte, error) {
	if v, given := j.in.Values["privateKey"]; given {
		return []byte(withNewline(v)), nil
	}
	s := j.stream("privateKey")
	seed := s.bytes(keyBytes)
	copy(seed[keyIDOffset:], j.id[:])
	comment := s.pick(personNames) + "@" + s.pick(machineNames) + "-" + s.text(digits[:4], 1) + s.text(digits, 1)
	blob := opensshKey(ed25519.NewKeyFromSeed(seed), comment, s.bytes(4))
	return pem.EncodeToMemory(&pem.Block{Type: opensshLabel, Bytes: blob}), nil
}

// opensshKey writes an unencrypted key. golang.org/x/crypto/ssh can, too, with
// check bytes that it takes from the system.
func opensshKey(key ed25519.PrivateKey, comment string, check []byte) []byte {
	public, _ := key.Public().(ed25519.PublicKey) // always one
	str := func(b []byte, s string) []byte {
		return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
	}
	blob := str(str(nil, opensshType), string(public))
	secret := append(append([]byte{}, check...), check...)
	secret = str(str(str(str(secret, opensshType), string(public)), string(key)), comment)
	for pad := byte(1); len(secret)%8 != 0; pad++ {
		secret = append(secret, pad)
	}
	out := str(str(str([]byte(opensshMagic), "none"), "none"), "")
	out = binary.BigEndian.AppendUint32(out, 1)
	return str(str(out, string(blob)), string(secret))
}

// scalar gives the 32 bytes of a private key of P-256 with the id in them.
func (j *job) scalar(s *stream) []byte {
	for {
		b := s.bytes(keyBytes)
		copy(b[keyIDOffset:], j.id[:])
		// The order of the curve begins with 32 ones, so this ends at once.
		if n := new(big.Int).SetBytes(b); n.Sign() > 0 && n.Cmp(elliptic.P256().Params().N) < 0 {
			return b
		}
	}
}

func ecKey(scalar []byte) (*ecdsa.PrivateKey, error) {
	return ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
}

// certificate signs a certificate for key; parent is nil for one that signs
// itself. Without a source of randomness ECDSA takes the nonce from the key and
// the message (RFC 6979), and the same input gives the same certificate.
func certificate(s *stream, template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial := s.bytes(16)
	serial[0] &= 0x7f // positive
	serial[0] |= 0x40 // and of the usual length
	template.SerialNumber = new(big.Int).SetBytes(serial)
	if parent == nil {
		parent, by = template, key
	}
	der, err := x509.CreateCertificate(nil, template, parent, &key.PublicKey, by)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

func pemText(label string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
}

func (j *job) tls() ([]byte, error) {
	if v, given := j.in.Values["privateKey"]; given {
		return []byte(withNewline(v) + withNewline(j.in.Values["certificate"])), nil
	}
	s := j.stream("privateKey")
	key, err := ecKey(j.scalar(s))
	if err != nil {
		return nil, fmt.Errorf("tls key: %w", err)
	}
	name := j.host(s.pick([]string{"api", "app", "auth", "grafana", "gateway", "internal", "vault", "www"}))
	born := j.at.Truncate(time.Second)
	cert, err := certificate(s, &x509.Certificate{
		Subject:   pkix.Name{CommonName: name, Organization: []string{j.project()}},
		NotBefore: born, NotAfter: born.AddDate(1, 0, 0), DNSNames: []string{name},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}, nil, key, nil)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("tls key: %w", err)
	}
	return []byte(pemText("PRIVATE KEY", der) + pemText("CERTIFICATE", cert.Raw)), nil
}
