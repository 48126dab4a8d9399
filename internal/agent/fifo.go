package agent

// fifo is a map that forgets its oldest keys. Setting a key again keeps its
// age. The zero value holds nothing; use newFIFO. It is not safe for concurrent
// use.
type fifo[K comparable, V any] struct {
	limit  int
	values map[K]V
	order  []K // a ring once it is full
	next   int
}

func newFIFO[K comparable, V any](limit int) *fifo[K, V] {
	return &fifo[K, V]{limit: limit, values: map[K]V{}}
}

func (f *fifo[K, V]) get(k K) (V, bool) {
	v, ok := f.values[k]
	return v, ok
}

// set returns the key that was forgotten, if one was.
func (f *fifo[K, V]) set(k K, v V) (forgotten K, any bool) {
	_, known := f.values[k]
	f.values[k] = v
	switch {
	case known:
		return forgotten, false
	case len(f.order) < f.limit:
		f.order = append(f.order, k)
		return forgotten, false
	}
	forgotten = f.order[f.next]
	delete(f.values, forgotten)
	f.order[f.next] = k
	f.next = (f.next + 1) % f.limit
	return forgotten, true
}
