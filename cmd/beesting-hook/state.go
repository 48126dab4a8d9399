//go:build linux

package main

// containerID takes the id out of the state of a container, which is a JSON
// object (runtime specification, state.md). encoding/json would be a third of
// the program, so this knows just enough: the members of the outermost object,
// and that an id has no character that JSON escapes.
//
// The agent compares the id with the one that it has made the ticket for. A
// state that isn't JSON can give a wrong id, never more than that.
func containerID(state []byte) (string, error) {
	missing := &trouble{"no container id in the state", nil}
	depth, key := 0, ""
	for i := 0; i < len(state); i++ {
		switch c := state[i]; c {
		case '{', '[':
			depth++
			key = ""
		case '}', ']':
			depth--
		case ',':
			key = ""
		case '"':
			end := stringEnd(state, i+1)
			if end < 0 {
				return "", missing
			}
			text := string(state[i+1 : end])
			i = end
			switch {
			case depth != 1:
			case key == "id" && text != "" && len(text) <= 256:
				return text, nil
			default:
				key = text
			}
		}
	}
	return "", missing
}

// stringEnd returns where the string that begins at i has its closing quote, or
// -1.
func stringEnd(b []byte, i int) int {
	for ; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}
