// Package kube knows what the cluster's API server says of this node's pods: who
// owns them, since when they run, and the labels and annotations that were asked
// for.
//
// It asks as little as it can. One watch, limited to the node by a field selector,
// brings the pods; of each only what is told is decoded, and nothing else is kept.
// The owners of ReplicaSets and Jobs are looked up by their metadata alone, once for
// all pods that have them. What it doesn't know it says at once, with the reason: an
// API server that is away costs nobody time.
package kube
