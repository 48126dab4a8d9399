package live

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"strconv"
)

// noID is what an id is called that the reader's user namespace doesn't have
// (user_namespaces(7)).
const noID = math.MaxUint32

// idMap is the content of /proc/PID/uid_map or gid_map.
type idMap []extent

// extent maps count ids from inside on to those from outside on.
type extent struct{ inside, outside, count uint32 }

func parseIDMap(b []byte) (idMap, error) {
	var m idMap
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		fields := bytes.Fields(lines.Bytes())
		if len(fields) != 3 {
			return nil, fmt.Errorf("id map: line %.64q", lines.Bytes())
		}
		var v [3]uint32
		for i, f := range fields {
			n, err := strconv.ParseUint(string(f), 10, 32)
			if err != nil {
				return nil, fmt.Errorf("id map: line %.64q: %w", lines.Bytes(), err)
			}
			v[i] = uint32(n)
		}
		m = append(m, extent{v[0], v[1], v[2]})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("id map: %w", err)
	}
	return m, nil
}

// outside returns what the reader of the map calls an id of the namespace.
func (m idMap) outside(id uint32) (uint32, error) {
	for _, e := range m {
		if id < e.inside || id-e.inside >= e.count || e.outside == noID {
			continue
		}
		if out := uint64(e.outside) + uint64(id-e.inside); out < noID {
			return uint32(out), nil
		}
	}
	return 0, fmt.Errorf("%w: %d", ErrUnmapped, id)
}
