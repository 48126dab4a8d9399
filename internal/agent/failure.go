package agent

import (
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/beesting-otel/beesting"
)

// maxFailures bounds how many failures are kept for status.
const maxFailures = 100

// Reason classifies a failure.
type Reason string

// The reasons. Their text is part of the status.
const (
	// ReasonMountPoint: the token can't be mounted there without harm.
	ReasonMountPoint Reason = "mount_point"
	// ReasonNotStarted: the container had tokens and was removed without having
	// been started. That can be because of a token.
	ReasonNotStarted Reason = "not_started"
	// ReasonPredecessor: that happened to the container before it in its place.
	ReasonPredecessor Reason = "predecessor_not_started"
	// ReasonContent: the token's content could not be made.
	ReasonContent Reason = "content"
	// ReasonStateDir: the state directory could not be read or written.
	ReasonStateDir Reason = "state_directory"
	// ReasonFull: as many tokens are planted as the configuration allows.
	ReasonFull Reason = "limit"
	// ReasonLate: there was no time left before the runtime had to be
	// answered, or the call was stuck or broke off.
	ReasonLate Reason = "late"
	// ReasonNotMounted: the container was created without the mount.
	ReasonNotMounted Reason = "not_mounted"
	// ReasonHidden: the container sees another file at the token's path, or
	// none. The planted file is watched all the same.
	ReasonHidden Reason = "hidden"
	// ReasonExists: the container has a file there, which the token must not hide.
	ReasonExists Reason = "file_exists"
	// ReasonLive: a container that runs could not be given the token, or it could
	// not be taken out again.
	ReasonLive Reason = "live"
	// ReasonHook: the container's hook did not make the file.
	ReasonHook Reason = "hook"
	// ReasonForeign: a container mounts a planted file that isn't its own.
	ReasonForeign Reason = "foreign_mount"
	// ReasonWatch: the sensor refused.
	ReasonWatch Reason = "watch"
	// ReasonInternal: a defect of the agent.
	ReasonInternal Reason = "internal"
)

// Failure is one token that is not as it should be.
type Failure struct {
	Time          time.Time `json:"time"`
	Namespace     string    `json:"namespace,omitempty"`
	Pod           string    `json:"pod,omitempty"`
	ContainerName string    `json:"container_name,omitempty"`
	Container     string    `json:"container,omitempty"`
	// Token is empty when all tokens of the container are concerned.
	Token  string `json:"token,omitempty"`
	Reason Reason `json:"reason"`
	Error  string `json:"error"`
}

// failures keeps the latest, and counts all by reason.
type failures struct {
	log *slog.Logger
	now func() time.Time

	mu     sync.Mutex
	latest []Failure // oldest first
	counts map[Reason]uint64
}

func (f *failures) add(c beesting.Container, token string, r Reason, err error) {
	entry := Failure{
		Time: f.now().Round(0), Namespace: c.Pod.Namespace, Pod: c.Pod.Name, ContainerName: c.Name,
		Container: c.ID, Token: token, Reason: r, Error: err.Error(),
	}
	f.log.Warn("token not as it should be", slog.String("reason", string(r)), slog.Any("error", err), slog.String("token", token),
		slog.String("container", c.ID), slog.String("name", c.Name), slog.String("pod", c.Pod.Name),
		slog.String("namespace", c.Pod.Namespace))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[r]++
	if len(f.latest) == maxFailures {
		copy(f.latest, f.latest[1:])
		f.latest = f.latest[:maxFailures-1]
	}
	f.latest = append(f.latest, entry)
}

func (f *failures) copy() ([]Failure, map[Reason]uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Failure{}, f.latest...), maps.Clone(f.counts)
}
