//go:build integration

package build

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority signs the certificates of one test.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	n    int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.cert, a.key = a.issue(t, "ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue writes NAME.crt and NAME.key.
func (a *authority) issue(t *testing.T, name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.n++
	c.SerialNumber, c.Subject = big.NewInt(a.n), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		a.file(name + ".crt"): {Type: "CERTIFICATE", Bytes: der},
		a.file(name + ".key"): {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	signed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return signed, key
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// A node with a certificate gets through to the back end, by node.yaml and
// gateway-tls.yaml as they are; whoever has none is not let in, nor is plain text.
func TestGatewayTLS(t *testing.T) {
	a := newAuthority(t)
	a.issue(t, "gateway", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	a.issue(t, "node", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	g := startGateway(t, []string{"gateway-tls"},
		"OTLP_CERT_FILE="+a.file("gateway.crt"), "OTLP_KEY_FILE="+a.file("gateway.key"), "OTLP_CLIENT_CA_FILE="+a.file("ca.crt"))
	n := startNode(t, nil, "", "GATEWAY_ENDPOINT="+g.grpc, "GATEWAY_INSECURE=false",
		"GATEWAY_CA_FILE="+a.file("ca.crt"), "CLIENT_CERT_FILE="+a.file("node.crt"), "CLIENT_KEY_FILE="+a.file("node.key"))
	body := access(t, "workload-read", 0, 1)
	if code := n.post(t, body); code != http.StatusOK {
		t.Fatalf("%d", code)
	}
	g.wait(t, "/otlp/v1/logs security")

	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	for name, c := range map[string]struct {
		url    string
		config *tls.Config
	}{
		"no certificate": {"https://" + g.http + "/v1/logs", &tls.Config{RootCAs: pool}},
		"plain text":     {"http://" + g.http + "/v1/logs", nil},
	} {
		client := http.Client{Transport: &http.Transport{TLSClientConfig: c.config}, Timeout: 10 * time.Second}
		resp, err := client.Post(c.url, "application/json", bytes.NewReader(body))
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusBadRequest { // "client sent an HTTP request to an HTTPS server"
				t.Errorf("%s: %s", name, resp.Status)
			}
		}
		client.CloseIdleConnections()
	}
}
