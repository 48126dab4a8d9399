// Package stealth looks at a planted token as an intruder in its container could,
// and lists what could betray it. It enters nothing: all is read below /proc/PID on
// the host, as root, and the token itself is only looked at through a descriptor
// that can't be read from, unless its content is asked for.
package stealth

//go:generate go test -run ^TestPageIsCurrent$ -count=1 . -update

import (
	"fmt"
	"strings"
)

// Trait is a thing that can betray a token.
type Trait struct {
	// Name is a part of the output, and stays.
	Name string `json:"name"`
	// What is to be seen, Who can see it, and How.
	What string `json:"what"`
	Who  string `json:"who"`
	How  string `json:"how"`
	// Weight is what is taken from the score, of 100: how likely somebody who looks
	// around takes notice, by judgement and not by measurement.
	Weight int `json:"weight"`
	// Advice says what to do about it.
	Advice string `json:"advice"`
}

// Whoever runs code in the container, or needs root there.
const (
	anyone = "anyone"
	root   = "root"
)

// The names of the traits.
const (
	SourceName  = "source-name"
	SourceForm  = "source-form"
	SourceOwn   = "source-own"
	SourceSeen  = "source-seen"
	Mount       = "mount"
	Options     = "options"
	ReadOnly    = "read-only"
	Device      = "device"
	Lock        = "lock"
	Fresh       = "fresh"
	Changed     = "changed"
	InodeOrder  = "inode-order"
	Alone       = "alone"
	Owner       = "owner"
	Mode        = "mode"
	Links       = "links"
	Empty       = "empty"
	Content     = "content"
	Environment = "environment"
	Processes   = "processes"
	BPF         = "bpf"
)

var traitRows = []Trait{
	{SourceName, "the mount's source has a word that gives it away", anyone, "`/proc/self/mountinfo`", 40,
		"set `filesDir` (`stateDir`) to a directory that says nothing"},
	{Content, "the content has a word that gives it away", anyone, "reading it, which is reported", 30,
		"use a `kind`, or a content without it"},
	{Environment, "a variable of the container's first process has a word that gives it away", anyone, "`env`", 20,
		"rename it in the pod's spec"},
	{SourceSeen, "a mount of the container shows the planted files themselves", anyone, "listing a `hostPath` volume", 20,
		"leave out such pods by `match.exclude`, or set `filesDir` elsewhere"},
	{Processes, "the container is in the host's pid namespace, and the agent is among its processes", anyone, "`ps`", 15,
		"leave out such pods by `match.exclude`"},
	{SourceForm, "the mount's source is nowhere that the kubelet mounts files from", anyone, "`/proc/self/mountinfo`", 15,
		"leave `stateDir` and `filesDir` out, or set `filesDir` below the kubelet's directory"},
	{Lock, "there is a lock on a file that nobody inside has opened", anyone, "inode numbers of `/proc/locks`", 15,
		"`strategy: hook`, whose tokens are not locked; the ends of opens are not told then"},
	{Empty, "the file is empty", anyone, "`ls -l`", 15, "give it a content; what is left of a mount point may be removed"},
	{Mount, "the file is a mount of its own", anyone, "`/proc/self/mountinfo`", 10, "`strategy: hook`"},
	{Links, "the file has more than one name", anyone, "`ls -l`", 10, "find out who made a link to it"},
	{BPF, "a bpf file system is mounted, where pinned programs have names", root, "listing it", 10,
		"leave out such pods by `match.exclude`, or set `sensor.pin` to another name"},
	{SourceOwn, "the mount's source is below the kubelet's directory, but not in the pod's", anyone, "comparing with the other lines of `/proc/self/mountinfo`", 5,
		"`strategy: hook`; the kubelet suffers nobody in its pods' directories"},
	{Options, "no other mount from that file system has the same options", anyone, "`/proc/self/mountinfo`", 5, "`strategy: hook`"},
	{ReadOnly, "the file is read-only, and its directory isn't", anyone, "`/proc/self/mountinfo`, or writing, which is reported", 5, "`strategy: hook`"},
	{Fresh, "the file was last written within a day", anyone, "`ls -l`", 5, "update the agent: it sets the time back"},
	{Changed, "the file's inode changed later than those of all files beside it", anyone, "`stat`, which the tier `recon` reports", 5,
		"none: no program can set the time of an inode's change; plant where other files are new as well"},
	{Owner, "the file belongs neither to the container's user nor to its directory's", anyone, "`ls -l`", 5,
		"use a runtime that tells the user (containerd 2.2), or set `runAsUser`"},
	{Device, "the file is on another file system than its directory", anyone, "`stat`, which the tier `recon` reports", 3, "`strategy: hook`"},
	{Alone, "there is nothing else in the directory", anyone, "`ls -a`", 3, "plant where the image has files of the kind"},
	{Mode, "everybody may read the secret", anyone, "`ls -l`", 3, "set the token's `mode`; what it refuses is seen by the tier `recon` only"},
	{InodeOrder, "the file's inode number is above those of all files beside it", anyone, "`ls -i`", 2, "none: the file was made last"},
}

// Traits lists all of them, the heaviest first.
func Traits() []Trait { return append([]Trait(nil), traitRows...) }

// Table is the traits as a table of the documentation.
func Table() string {
	var b strings.Builder
	b.WriteString("| trait | weight | what is to be seen | by whom | how | what to do |\n|---|---|---|---|---|---|\n")
	for _, t := range traitRows {
		fmt.Fprintf(&b, "| `%s` | %d | %s | %s | %s | %s |\n", t.Name, t.Weight, t.What, t.Who, t.How, t.Advice)
	}
	return b.String()
}
