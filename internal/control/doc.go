// Package control is how a person asks a running agent about itself: HTTP with
// JSON over a unix socket that only root can use.
//
// Three things keep others out: the socket's mode (0600), its directory's (0700
// if made here), and the peer's credentials, which the kernel vouches for
// (SO_PEERCRED, unix(7)). The socket also makes sure that there is one agent:
// whoever listens holds a lock beside it.
package control

import "time"

const (
	// StatusPath answers GET with the agent's status.
	StatusPath = "/v1/status"
	// DeadLettersPath answers GET with what a back end never takes, and POST with the
	// number of those that are going to be sent once more.
	DeadLettersPath = "/v1/dead-letters"
	// TracePath answers POST of a TraceRequest with what the ids name.
	TracePath = "/v1/trace"
)

// TraceRequest asks which placements token ids name.
type TraceRequest struct {
	// IDs are token ids or beginnings of such.
	IDs []string `json:"ids"`
}

// maxRequest bounds what a client sends, in bytes: some thousand ids.
const maxRequest = 1 << 20

// ReloadPath answers POST with what became of reading the configuration again.
const ReloadPath = "/v1/reload"

// timeout bounds each step of a conversation on both sides. The agent answers
// from memory, or reads a few small files; what takes longer is stuck.
const timeout = 5 * time.Second

// maxAnswer bounds what a client reads, in bytes. A status has a few hundred
// bytes for each placement.
const maxAnswer = 64 << 20

// refusal is the body of every answer that isn't 200.
type refusal struct {
	Error string `json:"error"`
}
