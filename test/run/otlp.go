package main

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/beesting-otel/beesting/test/runtime/place"
)

const envEndpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"

// otlpEnv turns HOST:PORT into the agent's environment; none for "". The port
// tells the protocol, as the registered ports of OTLP do: 4317 gRPC, 4318 HTTP.
func otlpEnv(target string) ([]string, error) {
	if target == "" {
		return nil, nil
	}
	host, port, err := net.SplitHostPort(target)
	if err != nil || host == "" || port == "" {
		return nil, fmt.Errorf("OTLP end point %q: want HOST:PORT", target)
	}
	protocol := "grpc"
	if port == "4318" {
		protocol = "http/protobuf"
	}
	return []string{
		envEndpoint + "=http://" + net.JoinHostPort(host, port),
		"OTEL_EXPORTER_OTLP_PROTOCOL=" + protocol,
	}, nil
}

// guestEnv is env for a guest: this machine's loopback has another address
// there. Guests have no name service, so a name is looked up here.
func guestEnv(env []string) []string {
	env = slices.Clone(env)
	for i, e := range env {
		url, ok := strings.CutPrefix(e, envEndpoint+"=http://")
		if !ok {
			continue
		}
		host, port, err := net.SplitHostPort(url)
		if err != nil {
			continue // otlpEnv made it
		}
		env[i] = envEndpoint + "=http://" + net.JoinHostPort(guestHost(host), port)
	}
	return env
}

func guestHost(host string) string {
	ips, err := net.LookupIP(host)
	if err != nil || len(ips) == 0 {
		return host
	}
	for _, ip := range ips {
		if ip.IsLoopback() {
			return place.HostAlias
		}
		if ip.To4() != nil {
			return ip.String()
		}
	}
	return ips[0].String()
}
