// Package content makes what a reader of a token finds: files of well-known
// formats that the clients of those formats parse, filled with secrets that
// open nothing. It is pure: no I/O, and time and randomness are arguments.
//
// Everything is derived from the token's seed, so that the same placement has
// the same bytes after a reboot, and two containers never do.
//
// A token's canary id, 128 bits of a MAC that look like random ones, stands in
// the secret itself, so that the secret names its container when it turns up
// elsewhere; [Trace] finds it there. It stands there once: whoever knows this
// code and finds one id in two secrets of a file knows that both are tokens.
package content
