package fanotify

import "time"

// maxOpens bounds the open files that are kept track of.
const maxOpens = 1 << 12

// opened is an open file, from the permission to open it to its close.
type opened struct {
	handle uint64 // zero: its end is not told
	who    identity
	thread uint32
	at     time.Duration
	reads  uint64
	writes uint64
	// told: the event is out. closed: at that time, so that an event which comes
	// out later is followed by its end.
	told   bool
	closed time.Duration
}

// openKey is the number of a watch.
type openKey uint64

// opens knows who has a watched inode open. fanotify doesn't say which open file
// an event is about, so a close is only attributed where there is no doubt. The
// caller locks.
type opens struct {
	most  int
	count int
	last  uint64 // handle
	files map[openKey][]*opened
}

func newOpens(most int) *opens {
	return &opens{most: most, files: make(map[openKey][]*opened)}
}

// open notes an open. Two files that a process has open at a time can't be told
// apart: then the end of neither is told.
func (o *opens) open(key openKey, who identity, thread uint32, at time.Duration) *opened {
	f := &opened{who: who, thread: thread, at: at}
	alone := true
	for _, other := range o.files[key] {
		if other.who == who {
			other.handle, alone = 0, false
		}
	}
	if o.count >= o.most {
		return f // not kept: its handle is zero
	}
	if alone {
		o.last++
		f.handle = o.last
	}
	o.files[key] = append(o.files[key], f)
	o.count++
	return f
}

// of returns the open file through which a process reads or writes.
func (o *opens) of(key openKey, who identity) *opened {
	files := o.files[key]
	for i := len(files) - 1; i >= 0; i-- {
		if files[i].who == who {
			return files[i]
		}
	}
	return nil
}

// byThread is of for a thread that may have gone.
func (o *opens) byThread(key openKey, thread uint32) *opened {
	files := o.files[key]
	for i := len(files) - 1; i >= 0; i-- {
		if files[i].thread == thread {
			return files[i]
		}
	}
	return nil
}

// close takes out the file that was closed, nil if that isn't known. A file is
// closed by its opener, also as that ends; by another process only if it was
// handed down, and that is clear if there is but one.
func (o *opens) close(key openKey, who identity, thread uint32) *opened {
	f := o.of(key, who)
	if f == nil {
		f = o.byThread(key, thread)
	}
	if f == nil && len(o.files[key]) == 1 {
		f = o.files[key][0]
	}
	if f != nil {
		o.remove(key, f)
	}
	return f
}

func (o *opens) remove(key openKey, f *opened) {
	files := o.files[key]
	for i := range files {
		if files[i] != f {
			continue
		}
		o.count--
		files = append(files[:i], files[i+1:]...)
		break
	}
	if len(files) == 0 {
		delete(o.files, key)
		return
	}
	o.files[key] = files
}

// sweep takes out the files of processes that have ended without a close that
// could be attributed.
func (o *opens) sweep(alive func(identity) bool) {
	for key, files := range o.files {
		for _, f := range append([]*opened(nil), files...) {
			if !alive(f.who) {
				o.remove(key, f)
			}
		}
	}
}

// clear forgets all: the guard that saw them has gone.
func (o *opens) clear() {
	o.count = 0
	clear(o.files)
}

// drop forgets the files of an inode that isn't watched any more.
func (o *opens) drop(key openKey) {
	o.count -= len(o.files[key])
	delete(o.files, key)
}

func (o *opens) full() bool { return o.count >= o.most }
