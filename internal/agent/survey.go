package agent

import "github.com/beesting-otel/beesting"

// survey reports whether an access is the runtime's stock-taking. What a hook made
// is in the container's writable layer, and containerd asks for the size of every
// file of every such layer each 10 s (stats_collect_period of its CRI plugin).
// Told, that would go on for ever and say nothing, as the runtime sees no content
// by it. The books have it as delivered.
func survey(a beesting.Access) bool {
	return a.Kind == beesting.AccessStat && a.Actor == beesting.ActorRuntime && a.Placement.Token.Strategy == beesting.StrategyHook
}
