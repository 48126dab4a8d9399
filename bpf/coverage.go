package bpf

import "strings"

// KindSupport says whether a sensor sees a kind of touch. Note says why not, or
// what of it is not seen.
type KindSupport struct {
	Kind Kind
	Seen bool
	Note string
}

const (
	noteRecon    = "needs the recon tier"
	noteReturns  = "needs the lsm or fentry mode: a kprobe has no result"
	noteDenied   = "refused by the file's mode: needs the recon tier in the lsm or fentry mode"
	noteLockdown = "not under lockdown=confidentiality: the link's target can't be read"
	noteExdev    = "refused across mounts (EXDEV): before the token is met"
	noteOutcome  = "a kprobe has no result: what was refused is told as allowed"
	noteBelow    = "a kprobe counts an overlay file's handle twice: the file below it too"
	noteFlags    = "since Linux 6.17 a kprobe takes FS_IOC_GETFLAGS for a stat"
	noteMoved    = "moved by mount(2) with MS_MOVE: only what is mounted over is seen"
)

// CoverageOf says what a mode and tier see on a kernel that has every function
// they attach to, in the order of the kinds. [Sensor.Coverage] says it of this
// kernel.
func CoverageOf(mode Mode, tier Tier) []KindSupport {
	var all []KindSupport
	for k := KindOpen; k < KindClose; k++ {
		s := KindSupport{Kind: k, Seen: true}
		switch k {
		case KindOpenPath:
			if tier != TierRecon {
				s = KindSupport{Kind: k, Note: noteRecon}
			}
		case KindAccess, KindReadlink:
			switch {
			case mode == ModeKprobe:
				s = KindSupport{Kind: k, Note: noteReturns}
			case tier != TierRecon:
				s = KindSupport{Kind: k, Note: noteRecon}
			}
		case KindOpen, KindExec:
			if tier != TierRecon || mode == ModeKprobe {
				s.Note = noteDenied
			}
		case KindLink:
			s.Note = noteExdev
		case KindMount:
			s.Note = noteMoved
		}
		if note := limitOfKprobes(k); mode == ModeKprobe && note != "" {
			s.Note = strings.TrimPrefix(s.Note+"; "+note, "; ")
		}
		all = append(all, s)
	}
	return all
}

// limitOfKprobes is what a kprobe tells of a kind that isn't so.
func limitOfKprobes(k Kind) string {
	switch k {
	case KindSetattr, KindLink, KindRename, KindUnlink:
		return noteOutcome
	case KindHandle:
		return noteBelow
	case KindStat:
		return noteFlags
	}
	return ""
}

// programsOf are the programs that see a kind, one of them at least in part.
func programsOf(k Kind) []string {
	switch k {
	case KindOpen, KindExec:
		return []string{"file_open"}
	case KindOpenPath:
		return []string{"vfs_open"}
	case KindRead, KindWrite, KindList:
		return []string{"file_permission"}
	case KindReceive:
		return []string{"file_receive"}
	case KindMmap:
		return []string{"mmap_file"}
	case KindStat:
		return []string{"inode_getattr"}
	case KindAccess:
		return []string{"inode_permission_exit"}
	case KindReadlink:
		return []string{"filename_lookup_exit"}
	case KindHandle:
		return []string{"exportfs_encode_inode_fh"}
	case KindXattr:
		return []string{"inode_getxattr"}
	case KindSetattr:
		return []string{"notify_change"}
	case KindLink:
		return []string{"vfs_link_exit"}
	case KindSymlink:
		return []string{"path_symlink"}
	case KindRename:
		return []string{"vfs_rename"}
	case KindUnlink:
		return []string{"vfs_unlink"}
	case KindMount:
		return []string{"sb_mount", "move_mount", "clone_mnt"}
	case KindWatch:
		return []string{"path_notify"}
	case KindLock:
		return []string{"file_lock"}
	}
	return nil
}
