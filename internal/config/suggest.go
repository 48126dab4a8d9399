package config

import "strings"

// suggest gives the candidate that word was most likely meant to be, or "".
func suggest(word string, candidates []string) string {
	const longest = 40 // of a word worth comparing; every key is shorter
	if len(word) > longest {
		return ""
	}
	best, bestDistance := "", 3
	for _, c := range candidates {
		if strings.EqualFold(squeeze(c), squeeze(word)) {
			return c
		}
		// A third of the letters may differ; "x" is not a misspelt "log".
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < bestDistance && d*3 <= len(c) {
			best, bestDistance = c, d
		}
	}
	return best
}

// squeeze makes state_dir and state-dir the same as stateDir.
func squeeze(s string) string { return strings.NewReplacer("_", "", "-", "").Replace(s) }

// distance counts the insertions, deletions, replacements and swaps of
// neighbours that make a into b (optimal string alignment).
func distance(a, b string) int {
	before, previous := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current := make([]int, len(b)+1)
		current[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			current[j] = min(previous[j]+1, current[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], before[j-2]+1)
			}
		}
		before, previous = previous, current
	}
	return previous[len(b)]
}
