// Package nri is the plugin towards containerd and CRI-O: it hears of every
// container through NRI, the Node Resource Interface, and asks a [Planter] what
// to mount into it.
//
// The package keeps one promise towards the runtime: no answer is an error, and
// none takes longer than the budget. The runtime fails a container whose
// creation a plugin answers with an error, serialises all requests of the node
// behind the slowest plugin, and drops a plugin that takes longer than 2 s
// (containerd/nri issue 114). So whatever the planter does, be it slow, stuck
// or in a panic, the answer is on time, and what was missed is counted and
// handed to [Planter.Missed].
//
// It translates NRI's types to the domain's and knows nothing of files, inodes
// or telemetry.
package nri
