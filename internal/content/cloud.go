package content

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
)

const (
	awsSecretBytes = 30
	awsIDOffset    = 7
)

func (j *job) aws() ([]byte, error) {
	key := j.value("accessKeyID", awsAccessKeyID)
	secret := j.value("secretAccessKey", func(s *stream) string {
		b := s.bytes(awsSecretBytes)
		copy(b[awsIDOffset:], j.id[:])
		return base64.StdEncoding.EncodeToString(b)
	})
	var b bytes.Buffer
	fmt.Fprintf(&b, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", key, secret)
	if region, given := j.in.Values["region"]; given {
		fmt.Fprintf(&b, "region = %s\n", region)
	} else if s := j.stream("region"); s.below(2) == 0 {
		fmt.Fprintf(&b, "region = %s\n", s.pick(regionNames))
	}
	return b.Bytes(), nil
}

// awsAccessKeyID names an account, as those made since 2019 do: bits 7 to 46 of
// the 48 that the first ten characters hold, in base32, are its number. Scanners
// of secrets print it, and one of 13 digits would be odd.
func awsAccessKeyID(s *stream) string {
	account := s.between(100_000_000_000, 999_999_999_999)
	var b [10]byte
	_, _ = s.Read(b[6:])
	first := uint64(1)<<47 | account<<7 | s.below(1<<7)
	binary.BigEndian.PutUint32(b[:4], uint32(first>>16))
	binary.BigEndian.PutUint16(b[4:6], uint16(first))
	return "AKIA" + base32.StdEncoding.EncodeToString(b[:])
}

const (
	gcpKeyIDBytes = 20
	gcpIDOffset   = 2
)

// serviceAccount has the order of Google's own files.
type serviceAccount struct {
	Type            string `json:"type"`
	ProjectID       string `json:"project_id"`
	PrivateKeyID    string `json:"private_key_id"`
	PrivateKey      string `json:"private_key"`
	ClientEmail     string `json:"client_email"`
	ClientID        string `json:"client_id"`
	AuthURI         string `json:"auth_uri"`
	TokenURI        string `json:"token_uri"`
	ProviderCertURL string `json:"auth_provider_x509_cert_url"`
	ClientCertURL   string `json:"client_x509_cert_url"`
	UniverseDomain  string `json:"universe_domain"`
}

func (j *job) gcp() ([]byte, error) {
	project := j.value("projectID", func(s *stream) string {
		return j.project() + "-" + j.stage() + "-" + s.text(digits[1:], 1) + s.text(digits, 5)
	})
	email := j.value("clientEmail", func(s *stream) string {
		return s.pick(roleNames) + "-" + s.pick([]string{"sa", "svc", "bot", "runner"}) + "@" + project + ".iam.gserviceaccount.com"
	})
	key, given := j.in.Values["privateKey"]
	if !given {
		var err error
		if key, err = j.rsaKey(j.stream("privateKey")); err != nil {
			return nil, err
		}
	}
	return indented(serviceAccount{
		Type: "service_account", ProjectID: project,
		PrivateKeyID: j.value("privateKeyID", func(s *stream) string {
			// Part of every assertion that is signed with the key, so that a
			// log of its use names the container, too.
			b := s.bytes(gcpKeyIDBytes)
			copy(b[gcpIDOffset:], j.id[:])
			return hex.EncodeToString(b)
		}),
		PrivateKey: withNewline(key), ClientEmail: email,
		ClientID:        j.value("clientID", func(s *stream) string { return "1" + s.text(digits, 20) }),
		AuthURI:         "https://accounts.google.com/o/oauth2/auth",
		TokenURI:        "https://oauth2.googleapis.com/token",
		ProviderCertURL: "https://www.googleapis.com/oauth2/v1/certs",
		ClientCertURL:   "https://www.googleapis.com/robot/v1/metadata/x509/" + url.QueryEscape(email),
		UniverseDomain:  "googleapis.com",
	})
}

// indented writes JSON as most tools leave it behind.
func indented(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}

// A secret of an application in Entra ID has 40 characters: three, a digit,
// "Q~", and 34 more.
const (
	azureAlphabet = base62 + "-_~"
	azureLength   = 34
	azureLead     = 4
)

type azureAuth struct {
	ClientID       string `json:"clientId"`
	ClientSecret   string `json:"clientSecret"`
	SubscriptionID string `json:"subscriptionId"`
	TenantID       string `json:"tenantId"`
	ActiveDir      string `json:"activeDirectoryEndpointUrl"`
	ResourceMan    string `json:"resourceManagerEndpointUrl"`
	Graph          string `json:"activeDirectoryGraphResourceId"`
	SQL            string `json:"sqlManagementEndpointUrl"`
	Gallery        string `json:"galleryEndpointUrl"`
	Management     string `json:"managementEndpointUrl"`
}

func (j *job) azure() ([]byte, error) {
	return indented(azureAuth{
		ClientID: j.value("clientID", (*stream).uuid),
		ClientSecret: j.value("clientSecret", func(s *stream) string {
			return s.text(base62, 3) + s.text("78", 1) + "Q~" + s.embed(azureAlphabet, azureLength, j.id, idBits)
		}),
		SubscriptionID: j.value("subscriptionID", (*stream).uuid),
		TenantID:       j.value("tenantID", (*stream).uuid),
		ActiveDir:      "https://login.microsoftonline.com",
		ResourceMan:    "https://management.azure.com/",
		Graph:          "https://graph.windows.net/",
		SQL:            "https://management.core.windows.net:8443/",
		Gallery:        "https://gallery.azure.com/",
		Management:     "https://management.core.windows.net/",
	})
}
