// Package journal keeps accesses on the node until every back end has them, and
// for a while after that: it is the node's own record of who touched what.
//
// An entry that Append has taken outlives the process at once (it is in the
// kernel's page cache) and the node after the next fdatasync(2), a tenth of a
// second later at most as a rule. Readers are cursors: each has a name, sees the
// entries that concern it in order, and moves only when it is told that they were
// delivered. Where a cursor stands is written down with the entries, a fifth of a
// second later at most: after a kill, what was delivered within that time is
// delivered once more, with the same ids.
//
// The entries are in bbolt files, the segments. A segment is written from its
// beginning to its end and then only read; the oldest is removed when all of them
// are larger, or it is older, than the options say. Inside of it, the entries of
// one commit are a frame that carries a checksum: what of a damaged file is still
// whole is found without bbolt's help, and so is what another process reads
// beside the one that writes.
package journal
