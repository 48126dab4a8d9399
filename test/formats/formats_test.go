package formats

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base32"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/go-autorest/autorest/azure/auth"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	dockerconfig "github.com/docker/cli/cli/config"
	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgpassfile"
	"github.com/jdx/go-netrc"
	"github.com/joho/godotenv"
	"golang.org/x/crypto/ssh"
	"golang.org/x/oauth2/google"
	"gopkg.in/ini.v1"
	macaroonlib "gopkg.in/macaroon.v2"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/beesting-otel/beesting/internal/content"
)

// rounds is how many containers' contents are parsed: what a content says is
// drawn from its seed, and so is its form in places.
const rounds = 16

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// each parses the contents of several containers.
func each(t *testing.T, kind string, values map[string]string, parse func(t *testing.T, path string, data []byte)) {
	t.Helper()
	maker := content.NewMaker([32]byte{2})
	for n := range rounds {
		id := sha256.Sum256(fmt.Append(nil, kind, n))
		out, err := maker.Make(kind, content.Input{
			TokenID: strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(id[:16])),
			Seed:    id, Time: now, Token: kind, Container: "app", Pod: "shop-1", Namespace: "shop", Values: values,
		})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, out.Content, 0o600); err != nil {
			t.Fatal(err)
		}
		parse(t, path, out.Content)
		if t.Failed() {
			t.Fatalf("content of round %d:\n%s", n, out.Content)
		}
	}
}

// All kinds that make a content have a test here.
func TestEveryKindIsParsed(t *testing.T) {
	parsed := map[string]func(*testing.T){
		"aws-credentials": TestAWS, "gcp-service-account": TestGCP, "azure-credentials": TestAzure, "kubeconfig": TestKubeconfig,
		"kubernetes-token": TestKubernetesToken, "ssh-private-key": TestSSH, "tls-key": TestTLS, "env-file": TestEnv,
		"docker-config": TestDocker, "npmrc": TestNPM, "pypirc": TestPyPI, "netrc": TestNetrc, "pgpass": TestPgpass,
	}
	// These are one word, which no client parses before it sends it; their
	// patterns and checksums are tested in internal/content.
	for _, word := range []string{"github-token", "gitlab-token", "slack-token", "stripe-key"} {
		parsed[word] = nil
	}
	for _, kind := range content.Names() {
		if _, there := parsed[kind]; !there {
			t.Errorf("kind %s is parsed by nothing", kind)
		}
	}
}

func TestAWS(t *testing.T) {
	own := map[string]string{"accessKeyID": "AKIAQ6IAALNRHZ2RYK5D", "secretAccessKey": "own/secret+access=key", "region": "eu-west-3"}
	for _, values := range []map[string]string{nil, own} {
		each(t, "aws-credentials", values, func(t *testing.T, path string, _ []byte) {
			t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
			c, err := awsconfig.LoadDefaultConfig(t.Context(),
				awsconfig.WithSharedCredentialsFiles([]string{path}), awsconfig.WithSharedConfigFiles([]string{}))
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Credentials.Retrieve(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(got.AccessKeyID) != 20 || len(got.SecretAccessKey) != 40 && values == nil || !strings.Contains(got.Source, path) {
				t.Errorf("credentials = %+v", got)
			}
			if values != nil && (got.AccessKeyID != values["accessKeyID"] || got.SecretAccessKey != values["secretAccessKey"] || c.Region != values["region"]) {
				t.Errorf("credentials = %+v, region %s", got, c.Region)
			}
		})
	}
}

func TestGCP(t *testing.T) {
	each(t, "gcp-service-account", nil, func(t *testing.T, _ string, data []byte) {
		c, err := google.JWTConfigFromJSON(data, "https://www.googleapis.com/auth/cloud-platform")
		if err != nil {
			t.Fatal(err)
		}
		creds, err := google.CredentialsFromJSONWithType(t.Context(), data, google.ServiceAccount)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(c.Email, "@"+creds.ProjectID+".iam.gserviceaccount.com") || len(c.PrivateKeyID) != 40 {
			t.Errorf("configuration = %+v", c)
		}
		// It signs an assertion, as for the first request.
		source, err := google.JWTAccessTokenSourceFromJSON(data, "https://storage.googleapis.com/")
		if err != nil {
			t.Fatal(err)
		}
		token, err := source.Token()
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(c.PrivateKey)
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		public := key.(crypto.Signer).Public()
		if _, err := jwt.Parse(token.AccessToken, func(*jwt.Token) (any, error) { return public, nil }); err != nil {
			t.Errorf("assertion: %v", err)
		}
	})
}

func TestAzure(t *testing.T) {
	each(t, "azure-credentials", nil, func(t *testing.T, path string, _ []byte) {
		t.Setenv("AZURE_AUTH_LOCATION", path)
		settings, err := auth.GetSettingsFromFile()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := settings.ServicePrincipalTokenFromClientCredentials("https://management.azure.com/"); err != nil {
			t.Fatal(err)
		}
		v := settings.Values
		if _, err := azidentity.NewClientSecretCredential(v[auth.TenantID], v[auth.ClientID], v[auth.ClientSecret], nil); err != nil {
			t.Fatal(err)
		}
		if len(v[auth.ClientSecret]) != 40 || settings.GetSubscriptionID() == "" {
			t.Errorf("settings = %v", v)
		}
	})
}

func TestKubeconfig(t *testing.T) {
	each(t, "kubeconfig", nil, func(t *testing.T, path string, data []byte) {
		c, err := clientcmd.BuildConfigFromFlags("", path)
		if err != nil {
			t.Fatal(err)
		}
		transport, err := rest.TLSConfigFor(c)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := tls.X509KeyPair(c.CertData, c.KeyData)
		if err != nil {
			t.Fatal(err)
		}
		_, err = cert.Leaf.Verify(x509.VerifyOptions{Roots: transport.RootCAs, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if err != nil {
			t.Error(err)
		}
		parsed, err := clientcmd.Load(data)
		if err != nil || clientcmd.Validate(*parsed) != nil {
			t.Errorf("validation: %v, %v", err, clientcmd.Validate(*parsed))
		}
	})
}

func TestKubernetesToken(t *testing.T) {
	each(t, "kubernetes-token", nil, func(t *testing.T, path string, data []byte) {
		claims := jwt.MapClaims{}
		token, parts, err := jwt.NewParser().ParseUnverified(string(data), claims)
		if err != nil {
			t.Fatal(err)
		}
		signature, err := jwt.NewParser().DecodeSegment(parts[2])
		if err != nil || len(signature) != 256 || token.Method != jwt.SigningMethodRS256 {
			t.Errorf("signature of %d bytes, %s: %v", len(signature), token.Method.Alg(), err)
		}
		if err := jwt.NewValidator(jwt.WithTimeFunc(func() time.Time { return now })).Validate(claims); err != nil {
			t.Error(err)
		}
		subject, err := claims.GetSubject()
		if err != nil || !strings.HasPrefix(subject, "system:serviceaccount:shop:") {
			t.Errorf("subject %q: %v", subject, err)
		}
	})
}

func TestSSH(t *testing.T) {
	each(t, "ssh-private-key", nil, func(t *testing.T, _ string, data []byte) {
		signer, err := ssh.ParsePrivateKey(data)
		if err != nil {
			t.Fatal(err)
		}
		signature, err := signer.Sign(nil, []byte("challenge"))
		if err != nil {
			t.Fatal(err)
		}
		if err := signer.PublicKey().Verify([]byte("challenge"), signature); err != nil {
			t.Error(err)
		}
	})
}

func TestTLS(t *testing.T) {
	each(t, "tls-key", nil, func(t *testing.T, path string, _ []byte) {
		cert, err := tls.LoadX509KeyPair(path, path)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := cert.PrivateKey.(*ecdsa.PrivateKey); !ok {
			t.Errorf("key is a %T", cert.PrivateKey)
		}
		roots := x509.NewCertPool()
		roots.AddCert(cert.Leaf)
		if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, DNSName: cert.Leaf.DNSNames[0]}); err != nil {
			t.Error(err)
		}
	})
}

func TestEnv(t *testing.T) {
	own := map[string]string{"databaseURL": "mysql://a:b%23c@db.internal/x?y=z"}
	for _, values := range []map[string]string{nil, own} {
		each(t, "env-file", values, func(t *testing.T, path string, _ []byte) {
			env, err := godotenv.Read(path)
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(env["DATABASE_URL"])
			if err != nil {
				t.Fatal(err)
			}
			if password, _ := u.User.Password(); len(env) < 6 || len(password) != 32 && values == nil {
				t.Errorf("environment = %v", env)
			}
			if values != nil && env["DATABASE_URL"] != values["databaseURL"] {
				t.Errorf("environment = %v", env)
			}
		})
	}
}

func TestDocker(t *testing.T) {
	own := map[string]string{"registry": "reg.internal:5000", "username": "u", "password": `p"a:s\s`}
	for _, values := range []map[string]string{nil, own} {
		each(t, "docker-config", values, func(t *testing.T, _ string, data []byte) {
			c, err := dockerconfig.LoadFromReader(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if len(c.AuthConfigs) != 1 {
				t.Fatalf("%d registries", len(c.AuthConfigs))
			}
			for registry, login := range c.AuthConfigs {
				if login.Username == "" || len(login.Password) != 32 && values == nil {
					t.Errorf("%s: %+v", registry, login)
				}
				if values != nil && (registry != values["registry"] || login.Username != values["username"] || login.Password != values["password"]) {
					t.Errorf("%s: %+v", registry, login)
				}
			}
		})
	}
}

func TestNPM(t *testing.T) {
	each(t, "npmrc", nil, func(t *testing.T, _ string, data []byte) {
		// npm's own parser (the package ini) splits at the first "=", too.
		f, err := ini.LoadSources(ini.LoadOptions{KeyValueDelimiters: "="}, data)
		if err != nil {
			t.Fatal(err)
		}
		if token := f.Section("").Key("//registry.npmjs.org/:_authToken").String(); len(token) != 40 || !strings.HasPrefix(token, "npm_") {
			t.Errorf("token %q", token)
		}
	})
}

func TestPyPI(t *testing.T) {
	each(t, "pypirc", nil, func(t *testing.T, _ string, data []byte) {
		f, err := ini.LoadSources(ini.LoadOptions{AllowPythonMultilineValues: true}, data)
		if err != nil {
			t.Fatal(err)
		}
		if servers := strings.TrimSpace(f.Section("distutils").Key("index-servers").String()); servers != "pypi" {
			t.Errorf("servers %q", servers)
		}
		s := f.Section("pypi")
		if s.Key("username").String() != "__token__" || !strings.HasPrefix(s.Key("password").String(), "pypi-AgEIcHlwaS5vcmcC") {
			t.Errorf("section %v", s.KeysHash())
		}
		macaroon(t, s.Key("password").String())
	})
}

func TestNetrc(t *testing.T) {
	each(t, "netrc", nil, func(t *testing.T, path string, _ []byte) {
		n, err := netrc.Parse(path)
		if err != nil {
			t.Fatal(err)
		}
		var found int
		for _, m := range n.Machines() {
			found++
			if m.Get("login") == "" || len(m.Get("password")) != 32 {
				t.Errorf("machine %s: %s, %s", m.Name, m.Get("login"), m.Get("password"))
			}
		}
		if found != 1 {
			t.Errorf("%d machines", found)
		}
	})
}

func TestPgpass(t *testing.T) {
	own := map[string]string{"host": "::1", "user": `a\b`, "password": "p:w"}
	for _, values := range []map[string]string{nil, own} {
		each(t, "pgpass", values, func(t *testing.T, path string, _ []byte) {
			f, err := pgpassfile.ReadPassfile(path)
			if err != nil {
				t.Fatal(err)
			}
			if len(f.Entries) != 1 {
				t.Fatalf("%d entries", len(f.Entries))
			}
			e := f.Entries[0]
			if e.Port != "5432" || len(e.Password) != 32 && values == nil {
				t.Errorf("entry = %+v", e)
			}
			if values != nil && (e.Hostname != values["host"] || e.Username != values["user"] || e.Password != values["password"]) {
				t.Errorf("entry = %+v", e)
			}
		})
	}
}

// macaroon parses PyPI's token with the library of the format.
func macaroon(t *testing.T, token string) {
	t.Helper()
	raw, err := macaroonlib.Base64Decode([]byte(strings.TrimPrefix(token, "pypi-")))
	if err != nil {
		t.Fatal(err)
	}
	var m macaroonlib.Macaroon
	if err := m.UnmarshalBinary(raw); err != nil {
		t.Fatal(err)
	}
	if m.Location() != "pypi.org" || len(m.Id()) != 36 || len(m.Caveats()) != 1 || len(m.Signature()) != 32 {
		t.Errorf("macaroon of %s, %s, %d caveats", m.Location(), m.Id(), len(m.Caveats()))
	}
}
