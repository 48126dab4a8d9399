package kube

import "container/list"

// lru is a map that forgets the keys that were not asked for the longest. It is
// not safe for concurrent use.
type lru[K comparable, V any] struct {
	limit int
	byKey map[K]*list.Element
	order *list.List // of pair[K, V], the latest in front
}

type pair[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](limit int) *lru[K, V] {
	return &lru[K, V]{limit: limit, byKey: map[K]*list.Element{}, order: list.New()}
}

func (c *lru[K, V]) get(key K) (v V, ok bool) {
	e := c.byKey[key]
	if e == nil {
		return v, false
	}
	c.order.MoveToFront(e)
	p, ok := e.Value.(pair[K, V])
	return p.value, ok
}

func (c *lru[K, V]) set(key K, v V) {
	if e := c.byKey[key]; e != nil {
		e.Value = pair[K, V]{key, v}
		c.order.MoveToFront(e)
		return
	}
	c.byKey[key] = c.order.PushFront(pair[K, V]{key, v})
	if c.order.Len() > c.limit {
		last := c.order.Back()
		if p, ok := c.order.Remove(last).(pair[K, V]); ok {
			delete(c.byKey, p.key)
		}
	}
}
