package vm

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Kernel is one kernel in the cache, ready to boot.
type Kernel struct {
	// Selector is what was asked for: "6.12", "newest", a full release.
	Selector string `json:"selector"`
	// Release is uname -r.
	Release string `json:"release"`
	// Version is the Debian package's version.
	Version string `json:"version"`
	// Note says so when the kernel isn't what the selector names but the
	// nearest to it. Empty otherwise.
	Note string `json:"note,omitempty"`
	// Dir holds vmlinuz and lib/modules/RELEASE.
	Dir string `json:"-"`
}

// Kernels are the kernels that everything about the kernel is tested on.
var Kernels = [...]string{"5.10", "6.1", "6.12", "6.18", "newest"}

// Newest selects the newest kernel to be had.
const Newest = "newest"

// numbers finds the numbers in a release: 6.12.117+deb12 is 6 12 117 12.
var numbers = regexp.MustCompile(`[0-9]+`)

// compareReleases orders kernel releases by their numbers.
func compareReleases(a, b string) int {
	return slices.Compare(releaseNumbers(a), releaseNumbers(b))
}

func releaseNumbers(release string) []int {
	var out []int
	for _, n := range numbers.FindAllString(release, -1) {
		// Longer than an int is no kernel; it sorts as 0.
		v, err := strconv.Atoi(n)
		if err != nil {
			v = 0
		}
		out = append(out, v)
	}
	return out
}

// selectorPattern is a series ("6.12") or a full release as Debian names it.
var selectorPattern = regexp.MustCompile(`^[0-9]+\.[0-9]+([.+~-][0-9A-Za-z.+~-]*)?$`)

// checkSelector refuses what can't be a kernel.
func checkSelector(selector string) error {
	if selector == Newest || selectorPattern.MatchString(selector) {
		return nil
	}
	return fmt.Errorf(`kernel %q: want a series such as "6.12", a full release or %q`, selector, Newest)
}

// selectRelease picks from releases, which are without the flavour's ending, the
// newest that the selector names. When there is none of that series it picks the
// nearest one, a later series before an earlier one, and says so in note.
func selectRelease(selector string, releases []string) (release, note string, err error) {
	if err := checkSelector(selector); err != nil {
		return "", "", err
	}
	sorted := slices.SortedFunc(slices.Values(releases), compareReleases)
	if len(sorted) == 0 {
		return "", "", fmt.Errorf("kernel %s: the package lists have no kernel at all", selector)
	}
	if selector == Newest {
		return sorted[len(sorted)-1], "", nil
	}
	later := ""
	earlier := ""
	for _, r := range slices.Backward(sorted) {
		switch c := compareSeries(r, selector); {
		case r == selector, c == 0 && isSeries(selector):
			return r, "", nil
		case c >= 0:
			// Going down, the last one seen is of the lowest later series; keep
			// the first, that is the newest, release of it.
			if later == "" || compareSeries(r, later) != 0 {
				later = r
			}
		case earlier == "":
			earlier = r
		}
	}
	release = later
	if release == "" {
		release = earlier
	}
	return release, fmt.Sprintf("%s is not to be had, %s is the nearest", selector, release), nil
}

func isSeries(selector string) bool {
	return strings.Count(selector, ".") == 1 && len(releaseNumbers(selector)) == 2
}

// compareSeries compares the first two numbers only.
func compareSeries(a, b string) int {
	return slices.Compare(series(a), series(b))
}

func series(release string) []int {
	n := releaseNumbers(release)
	return n[:min(2, len(n))]
}
