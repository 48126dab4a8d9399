// Package beesting holds the domain of a honeytoken sensor: a [Token] is a fake
// secret, a [Placement] is one token planted in one container, and an [Access]
// says who touched a placement, where and when.
//
// The package is pure: standard library only, no I/O, no clocks, no globals.
// Every other package of the module may import it; it imports none of them.
// All types are plain values. They are safe for concurrent reading, and
// none of their methods changes its receiver.
package beesting
