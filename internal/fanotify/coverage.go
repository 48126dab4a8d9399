package fanotify

import "github.com/beesting-otel/beesting/bpf"

const (
	noteNoHook  = "fanotify has no event for it"
	noteNoPidfd = "this kernel doesn't say reliably who did it (FAN_REPORT_PIDFD: Linux 5.15)"
)

// coverage says what fanotify sees. changes tells whether the kernel can say who
// changed an attribute. The tiers make no difference here.
func coverage(changes bool) []bpf.KindSupport {
	seen := map[bpf.Kind]string{
		bpf.KindOpen: "those that file mode or a security module refuse are not; the flags of io_uring's are unknown; " +
			"of an overlay file, not those of the backing file below it; " +
			"the end is told unless the process has the file open twice",
		bpf.KindExec: "those that are refused are not",
		bpf.KindRead: "by a process that has the file open itself, too, they count as that one's; " +
			"since Linux 6.14 (Debian: 6.12) those of files opened before the watch are told afterwards",
		bpf.KindWrite: "told afterwards, several in one if they come fast; truncate(2) is not told; " +
			"a process that has gone by then is only a number",
	}
	if changes {
		// Before, an overlay has no file handles for the group that asks who it was.
		const overlay = "; of an overlay file since Linux 6.6 only"
		seen[bpf.KindSetattr] = "told afterwards, several in one if they come fast; setting an extended attribute is one; " +
			"file_setattr(2) is not told on Linux 6.18" + overlay
		seen[bpf.KindLink] = "told afterwards" + overlay
		seen[bpf.KindUnlink] = "told afterwards" + overlay + "; not of the mount point below a bind mount"
		seen[bpf.KindRename] = "told afterwards, without the new name" + overlay + "; not of the mount point below a bind mount"
	}
	missing := map[bpf.Kind]string{
		bpf.KindMmap:  noteNoHook + ": the open that it takes is seen",
		bpf.KindXattr: noteNoHook + ": reading one is not seen; setting one is a setattr",
		bpf.KindList:  "not in this mode: only files are marked",
	}
	var all []bpf.KindSupport
	for k := bpf.KindOpen; k < bpf.KindClose; k++ {
		note, ok := seen[k]
		switch {
		case ok:
		case !changes && (k == bpf.KindSetattr || k == bpf.KindLink || k == bpf.KindUnlink || k == bpf.KindRename):
			note = noteNoPidfd
		case missing[k] != "":
			note = missing[k]
		default:
			note = noteNoHook
		}
		all = append(all, bpf.KindSupport{Kind: k, Seen: ok, Note: note})
	}
	return all
}
