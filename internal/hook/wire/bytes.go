package wire

// reader takes a packet apart. What is read beyond its end is zero, and bad is
// set.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.rest) {
		r.bad, r.rest = true, nil
		return nil
	}
	var head []byte
	head, r.rest = r.rest[:n], r.rest[n:]
	return head
}

func (r *reader) u8() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.take(2); b != nil {
		return uint16(b[0]) | uint16(b[1])<<8
	}
	return 0
}

func (r *reader) u32() uint32 {
	low := r.u16()
	return uint32(low) | uint32(r.u16())<<16
}

func (r *reader) text(longest int) string {
	n := int(r.u16())
	if n > longest {
		r.bad = true
		return ""
	}
	return string(r.take(n))
}

// done says that the packet was as long as it said, and no longer.
func (r *reader) done() bool { return !r.bad && len(r.rest) == 0 }

func appendU16(b []byte, v uint16) []byte { return append(b, byte(v), byte(v>>8)) }

func appendU32(b []byte, v uint32) []byte {
	return append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
}

// appendText cuts what is longer. Only the words on a problem can be: everything
// else is checked where it comes from.
func appendText(b []byte, s string, longest int) []byte {
	if len(s) > longest {
		s = s[:longest]
	}
	return append(appendU16(b, uint16(len(s))), s...)
}
