package hook

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"
)

// Bounds of what is expected at a time.
const (
	// MaxFiles is for one container.
	MaxFiles = 64
	// MaxTickets and MaxPending (bytes of content) are for all tickets that are
	// neither used nor expired.
	MaxTickets = 1024
	MaxPending = 64 << 20
	// maxTalks bounds the conversations under way. More wait in the socket's
	// backlog, as long as a hook has patience.
	maxTalks = 16
)

// What a container must be able to hold while it is created. The program runs in
// the container's cgroup beside runc init, and a Go program that can't have a
// thread ends with code 2, which fails the container: measured with runc 1.1.5,
// every container with a pids limit of 8 or less fails by the hook alone, none
// of 9 or more does. Memory is less of a matter: the program touches under 3 MiB,
// runc init more. The bounds leave room for runtimes with more threads.
const (
	MinMemory = 16 << 20
	MinPids   = 32
)

// Why there is no ticket. Another way of planting is to be taken then.
var (
	ErrUserNamespace = errors.New("the container has a user namespace: a hook in it can neither reach nor recognise the agent")
	ErrTight         = errors.New("the container's limits of memory or processes are too tight for a hook")
	ErrProgramGone   = errors.New("the hook program was removed or replaced: its container would not start")
	ErrFull          = errors.New("too many tickets are pending")
)

// Container is what has to be known of a container that is to get a hook.
type Container struct {
	ID            string
	UserNamespace bool
	// MemoryLimit in bytes and PidsLimit, of its cgroup; 0 or less: none.
	MemoryLimit, PidsLimit int64
}

// File is a file that a container is to get.
type File struct {
	Token    string // comes back in the Result; not told to the hook
	Path     string // in the container: absolute and clean, at most 4095 bytes
	Mode     fs.FileMode
	UID, GID uint32 // in the container
	ModTime  time.Time
	Content  []byte // at most 1 MiB; not to be changed until the report
}

// Ticket is what the runtime has to be told: a createContainer hook.
//
// It has no time-out on purpose. A hook that a runtime ends for being late
// fails its container; the program ends by itself after a second.
type Ticket struct {
	Path string
	Args []string
	Env  []string
}

// Outcome says what became of a file.
type Outcome string

// The outcomes. Their text appears in status and logs.
const (
	Placed     Outcome = "placed"
	Exists     Outcome = "exists"
	OtherMount Outcome = "other_mount"
	ReadOnly   Outcome = "read_only"
	Refused    Outcome = "refused"
	Failed     Outcome = "failed"
	// Unanswered: the hook did not come as far as this file.
	Unanswered Outcome = "unanswered"
)

// Result is what became of one file.
type Result struct {
	Token, Path string
	Outcome     Outcome
	Problem     string // empty if placed
	// File is the file itself, open for reading, if it was placed; otherwise
	// nil. It was opened in the container's mount namespace and keeps the root's
	// file system alive until it is closed.
	File *os.File
}

// Report says what became of a ticket. There is one for each that was not
// withdrawn, with a result for each file, in the order of Expect.
type Report struct {
	Container string
	Results   []Result
	// Problem, if not empty, is of the hook as a whole.
	Problem string
}

// Close closes the files.
func (r *Report) Close() {
	for i := range r.Results {
		if f := r.Results[i].File; f != nil {
			_ = f.Close()
			r.Results[i].File = nil
		}
	}
}

// Options of a Server.
type Options struct {
	// Socket is the path of the socket, at most 107 bytes. Its directory is made
	// with mode 0700; one that is there must have that mode and belong to the
	// process's user. The runtime's hooks must see it at the same path.
	Socket string
	// Program is what the hooks run, and remains the caller's.
	Program *Program
	// Deliver takes each report, and from then on owns its files. It is called
	// from several goroutines. The hook waits until it returns, and with the hook
	// the container's creation, for a second at most: what it does is done before
	// the container's first instruction.
	Deliver func(Report)
	// Lifetime is how long a ticket is good; 10 minutes if zero. A container is
	// created when its image is there, and is as a rule started at once.
	Lifetime time.Duration
	// Log takes refusals, a few in a minute; none are written if nil.
	Log *slog.Logger
	// Now is the wall clock; time.Now if nil.
	Now func() time.Time
	// Proc is where proc(5) is mounted, with the processes of the host; /proc if
	// empty.
	Proc string
}

// Status says how the server fares. It is a copy.
type Status struct {
	Pending   int    `json:"pending"`   // tickets neither used nor expired
	Issued    uint64 `json:"issued"`    // tickets given out
	Answered  uint64 `json:"answered"`  // reports of hooks, complete or not
	Expired   uint64 `json:"expired"`   // tickets that no hook came with
	Withdrawn uint64 `json:"withdrawn"` // tickets taken back
	// Refused counts conversations that were none, by reason.
	Refused map[Reason]uint64 `json:"refused"`
}

// Reason says why a peer was refused.
type Reason string

// The reasons. Their text appears in status and logs.
const (
	ReasonAccept    Reason = "accept"    // the system could not take the connection
	ReasonUser      Reason = "user"      // another user, or one of another PID namespace
	ReasonProgram   Reason = "program"   // another program
	ReasonProtocol  Reason = "protocol"  // nothing, or nothing that makes sense
	ReasonTicket    Reason = "ticket"    // unknown, used, expired or of an earlier agent
	ReasonSecret    Reason = "secret"    // the ticket's secret is another one
	ReasonContainer Reason = "container" // the ticket is another container's
)
