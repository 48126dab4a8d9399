package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
)

// NoAgentError says that nobody listens on the socket.
type NoAgentError struct{ Path string }

func (e *NoAgentError) Error() string {
	return fmt.Sprintf("no agent is listening at %s: is `beesting agent` running?", e.Path)
}

// Status asks the agent that listens on the socket at path for its status, and
// decodes the answer into v. It gives up after some seconds.
func Status(ctx context.Context, path string, v any) error {
	return ask(ctx, path, http.MethodGet, StatusPath, http.NoBody, v)
}

// Reload has that agent read its configuration again, and decodes what became of
// it into v. A configuration that was refused is an answer like others.
func Reload(ctx context.Context, path string, v any) error {
	return ask(ctx, path, http.MethodPost, ReloadPath, http.NoBody, v)
}

// DeadLetters asks that agent for what a back end never takes, or has it sent once
// more, and decodes the answer into v.
func DeadLetters(ctx context.Context, path string, resend bool, v any) error {
	method := http.MethodGet
	if resend {
		method = http.MethodPost
	}
	return ask(ctx, path, method, DeadLettersPath, http.NoBody, v)
}

// Trace asks the agent that listens on the socket at path which placements the
// ids name, and decodes the answer into v. It gives up after some seconds.
func Trace(ctx context.Context, path string, ids []string, v any) error {
	body, err := json.Marshal(TraceRequest{IDs: ids})
	if err != nil {
		return fmt.Errorf("control request: %w", err)
	}
	return ask(ctx, path, http.MethodPost, TracePath, bytes.NewReader(body), v)
}

func ask(ctx context.Context, path, method, endpoint string, body io.Reader, v any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, method, "http://agent"+endpoint, body)
	if err != nil {
		return fmt.Errorf("control request: %w", err)
	}
	response, err := client.Do(request)
	if err != nil {
		return explain(path, err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return explain(path, err)
	case len(data) > maxAnswer:
		return fmt.Errorf("agent at %s: answer of more than %d bytes", path, maxAnswer)
	case response.StatusCode != http.StatusOK:
		var r refusal
		_ = json.Unmarshal(data, &r) // without a reason the code has to do
		return fmt.Errorf("agent at %s: refused with %d: %s", path, response.StatusCode, r.Error)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("agent at %s: answer: %w", path, err)
	}
	return nil
}

func explain(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return &NoAgentError{Path: path}
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("agent at %s: no permission: only root may ask", path)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("agent at %s: no answer within %v", path, timeout)
	}
	return fmt.Errorf("agent at %s: %w", path, err)
}
