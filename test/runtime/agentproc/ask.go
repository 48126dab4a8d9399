package agentproc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// Configure writes the agent's configuration anew, with other tokens.
func (a *Agent) Configure(tokens string) error {
	cfg := a.cfg
	cfg.Tokens = tokens
	return os.WriteFile(a.path("agent.yaml"), []byte(cfg.yaml()), 0o600)
}

// Reload has the agent read its configuration again, as an operator does, and
// returns the command's exit code, with what it wrote.
func (a *Agent) Reload(ctx context.Context) (code int, text string, err error) {
	out, err := exec.CommandContext(ctx, a.cfg.Binary, "reload", "--socket", a.path("control.sock")).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), string(out), nil
	}
	return 0, string(out), err
}

// Trace is a placement that `beesting trace-token` names.
type Trace struct {
	TokenID   string `json:"token_id"`
	Token     string `json:"token"`
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	Container string `json:"container"`
	Present   bool   `json:"present"`
}

// TraceToken asks whose token a text is.
func (a *Agent) TraceToken(ctx context.Context, text string) ([]Trace, error) {
	cmd := exec.CommandContext(ctx, a.cfg.Binary, "trace-token", "--json", "--socket", a.path("control.sock"), "-")
	cmd.Stdin = bytes.NewReader([]byte(text))
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("beesting trace-token: %w: %s", err, out)
	}
	var answer struct {
		Found []Trace `json:"found"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, fmt.Errorf("beesting trace-token: %w in %s", err, out)
	}
	return answer.Found, nil
}
