package content

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

func (j *job) kubeconfig() ([]byte, error) {
	server := j.value("server", func(s *stream) string {
		return fmt.Sprintf("https://10.%d.%d.%d:6443", s.below(256), s.below(256), s.between(2, 250))
	})
	if err := noneOf("server", server, " #\"'"); err != nil {
		return nil, err
	}
	ca, cert, key, err := j.kubePair()
	if err != nil {
		return nil, err
	}
	b64 := base64.StdEncoding.EncodeToString
	s := j.stream("kubeconfig")
	cluster := s.pick([]string{"kubernetes", j.project() + "-" + j.stage(), j.stage()})
	user := "kubernetes-admin"
	var b bytes.Buffer
	b.WriteString("apiVersion: v1\nclusters:\n- cluster:\n")
	if ca != "" {
		fmt.Fprintf(&b, "    certificate-authority-data: %s\n", b64([]byte(ca)))
	}
	fmt.Fprintf(&b, "    server: %s\n  name: %s\n", server, cluster)
	fmt.Fprintf(&b, "contexts:\n- context:\n    cluster: %[1]s\n    user: %[2]s\n  name: %[2]s@%[1]s\n", cluster, user)
	fmt.Fprintf(&b, "current-context: %s@%s\nkind: Config\npreferences: {}\n", user, cluster)
	fmt.Fprintf(&b, "users:\n- name: %s\n  user:\n    client-certificate-data: %s\n    client-key-data: %s\n",
		user, b64([]byte(cert)), b64([]byte(key)))
	return b.Bytes(), nil
}

// kubePair is an authority and an administrator's certificate as kubeadm makes
// them, with ECDSA-P256 as the algorithm (which it offers since 1.31).
func (j *job) kubePair() (ca, cert, key string, err error) {
	if v, given := j.in.Values["clientKey"]; given {
		return j.in.Values["certificateAuthority"], withNewline(j.in.Values["clientCertificate"]), withNewline(v), nil
	}
	s := j.stream("clientKey")
	client, err := ecKey(j.scalar(s))
	if err != nil {
		return "", "", "", fmt.Errorf("client key: %w", err)
	}
	// A scalar of its own: the id stands in one key only.
	other := *j
	_, _ = s.Read(other.id[:])
	authority, err := ecKey(other.scalar(s))
	if err != nil {
		return "", "", "", fmt.Errorf("authority's key: %w", err)
	}
	born := j.at.Truncate(time.Second)
	caCert, err := certificate(s, &x509.Certificate{
		Subject:   pkix.Name{CommonName: "kubernetes"},
		NotBefore: born, NotAfter: born.AddDate(10, 0, 0), DNSNames: []string{"kubernetes"},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
		IsCA:     true, BasicConstraintsValid: true,
	}, nil, authority, nil)
	if err != nil {
		return "", "", "", err
	}
	leaf, err := certificate(s, &x509.Certificate{
		Subject:   pkix.Name{CommonName: "kubernetes-admin", Organization: []string{"kubeadm:cluster-admins"}},
		NotBefore: born, NotAfter: born.AddDate(1, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}, caCert, client, authority)
	if err != nil {
		return "", "", "", err
	}
	der, err := x509.MarshalECPrivateKey(client)
	if err != nil {
		return "", "", "", fmt.Errorf("client key: %w", err)
	}
	return pemText("CERTIFICATE", caCert.Raw), pemText("CERTIFICATE", leaf.Raw), pemText("EC PRIVATE KEY", der), nil
}

// The claims of a bound service account token, in the API server's order
// (k8s.io/kubernetes/pkg/serviceaccount).
type kubeClaims struct {
	Audience []string   `json:"aud"`
	Expires  int64      `json:"exp"`
	IssuedAt int64      `json:"iat"`
	Issuer   string     `json:"iss"`
	ID       string     `json:"jti"`
	Private  kubeObject `json:"kubernetes.io"`
	Since    int64      `json:"nbf"`
	Subject  string     `json:"sub"`
}

type kubeObject struct {
	Namespace string  `json:"namespace"`
	Node      kubeRef `json:"node"`
	Pod       kubeRef `json:"pod"`
	Account   kubeRef `json:"serviceaccount"`
}

type kubeRef struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
}

// jwtSignature is the length of a signature of RS256 with the usual key.
const (
	jwtSignature = 256
	jwtIDOffset  = 64
	jwtKeyID     = 32 // a kid is the base64 of a SHA-256
)

// podAlphabet is that of generated names (k8s.io/apimachinery/pkg/util/rand).
const podAlphabet = "bcdfghjklmnpqrstvwxz2456789"

func (j *job) kubernetesToken() ([]byte, error) {
	if v, given := j.in.Values["token"]; given {
		return []byte(v), nil
	}
	s := j.stream("token")
	raw := base64.RawURLEncoding.EncodeToString
	account, namespace, pod := s.pick(roleNames), j.in.Namespace, j.in.Pod
	if namespace == "" {
		namespace = j.project()
	}
	if made := account + "-" + s.text(podAlphabet, 9) + "-" + s.text(podAlphabet, 5); pod == "" {
		pod = made
	}
	const issuer = "https://kubernetes.default.svc.cluster.local"
	const lifetime = 365 * 24 * 3600 // with service-account-extend-token-expiration, the default
	at := j.at.Unix()
	claims, err := json.Marshal(kubeClaims{
		Audience: []string{issuer}, Expires: at + lifetime, IssuedAt: at, Since: at, Issuer: issuer, ID: s.uuid(),
		Private: kubeObject{
			Namespace: namespace,
			Node:      kubeRef{s.pick([]string{"node", "worker", "pool"}) + "-" + strconv.Itoa(int(s.between(1, 40))), s.uuid()},
			Pod:       kubeRef{pod, s.uuid()},
			Account:   kubeRef{account, s.uuid()},
		},
		Subject: "system:serviceaccount:" + namespace + ":" + account,
	})
	if err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	header := fmt.Sprintf(`{"alg":"RS256","kid":"%s"}`, raw(s.bytes(jwtKeyID)))
	signature := s.bytes(jwtSignature)
	signature[0] &= 0x7f // less than a modulus of 2048 bits
	copy(signature[jwtIDOffset:], j.id[:])
	// The kubelet writes no newline.
	return []byte(raw([]byte(header)) + "." + raw(claims) + "." + raw(signature)), nil
}
