package collectorproc

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// tcpListen is TCP_LISTEN (include/net/tcp_states.h), as /proc/net/tcp has it.
const tcpListen = "0A"

// socketNames names sockets by their inode number, from a /proc/PID/net.
func socketNames(dir string) (map[string]string, error) {
	out := map[string]string{}
	listening := map[string]bool{}
	for _, pass := range []func(fields []string){
		func(f []string) {
			if f[3] == tcpListen {
				listening[port(f[1])] = true
			}
		},
		func(f []string) {
			switch local := port(f[1]); {
			case f[3] == tcpListen:
				out[f[9]] = "tcp listening at " + local
			case listening[local]:
				out[f[9]] = "tcp at " + local
			default:
				out[f[9]] = "tcp to " + port(f[2])
			}
		},
	} {
		for _, table := range []string{"/tcp", "/tcp6"} {
			if err := eachSocket(dir+table, 10, pass); err != nil {
				return nil, err
			}
		}
	}
	err := eachSocket(dir+"/unix", 7, func(f []string) {
		out[f[6]] = "unix"
		if len(f) > 7 {
			out[f[6]] += " " + f[7]
		}
	})
	return out, err
}

// eachSocket calls do with the fields of each line below the heading of a table
// in /proc/net that has at least so many.
func eachSocket(table string, fields int, do func([]string)) error {
	text, err := os.ReadFile(table)
	if errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6
		return nil
	}
	if err != nil {
		return err
	}
	for i, line := range strings.Split(string(text), "\n") {
		if f := strings.Fields(line); i > 0 && len(f) >= fields {
			do(f)
		}
	}
	return nil
}

// port is that of an address in /proc/net/tcp, ADDRESS:PORT in hexadecimal.
func port(address string) string {
	_, hex, _ := strings.Cut(address, ":")
	n, err := strconv.ParseUint(hex, 16, 16)
	if err != nil {
		return address
	}
	return ":" + strconv.FormatUint(n, 10)
}
