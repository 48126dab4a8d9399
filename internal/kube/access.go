package kube

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// ServiceAccount is where a pod finds the credentials of its service account.
const ServiceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

// ErrNoAccess says that there is neither a kubeconfig nor a service account.
var ErrNoAccess = errors.New("no kubeconfig is given, and this is no pod with a service account")

// Place is where the way to the API server is looked for.
type Place struct {
	// Kubeconfig is the file to be used; empty for the pod's service account.
	Kubeconfig string
	// Getenv reads the variables that the kubelet sets in a pod. ServiceAccount is
	// the constant, but in tests.
	Getenv         func(string) string
	ServiceAccount string
}

// Given reports whether anything says how to reach an API server.
func (p Place) Given() bool {
	_, err := p.inCluster()
	return p.Kubeconfig != "" || err == nil
}

// config returns how to reach the API server. It asks nobody.
func (p Place) config() (*rest.Config, error) {
	if p.Kubeconfig == "" {
		return p.inCluster()
	}
	c, err := clientcmd.BuildConfigFromFlags("", p.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return c, nil
}

// inCluster does what rest.InClusterConfig does, which reads the environment of the
// process by itself. The token is read again when the kubelet has renewed it.
func (p Place) inCluster() (*rest.Config, error) {
	host, port := p.Getenv("KUBERNETES_SERVICE_HOST"), p.Getenv("KUBERNETES_SERVICE_PORT")
	token := filepath.Join(p.ServiceAccount, "token")
	if host == "" || port == "" {
		return nil, ErrNoAccess
	}
	if _, err := os.Stat(token); err != nil {
		return nil, ErrNoAccess
	}
	return &rest.Config{
		Host:            "https://" + net.JoinHostPort(host, port),
		TLSClientConfig: rest.TLSClientConfig{CAFile: filepath.Join(p.ServiceAccount, "ca.crt")},
		BearerTokenFile: token,
	}, nil
}
