// Command dashboards writes the Grafana dashboards and the alert rules that are
// committed beside it. They are made here, in one place, so that a query, a name
// and a threshold are the same wherever they stand.
//
//	cd dashboards && go generate ./...
package main

//go:generate go run .

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	files, err := everything()
	if err == nil {
		err = write(".", files)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "dashboards:", err)
		os.Exit(1)
	}
}

func boards() []board {
	return []board{overview(), incident(tempo), incident(jaeger), fleet()}
}

// everything is each generated file by its path.
func everything() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, b := range boards() {
		content, err := b.encode()
		if err != nil {
			return nil, err
		}
		files[filepath.Join("grafana", b.file)] = content
	}
	for name, encode := range map[string]func() ([]byte, error){
		"prometheus.yaml": encodePrometheus, "loki.yaml": encodeLoki, "grafana.yaml": encodeGrafana,
	} {
		content, err := encode()
		if err != nil {
			return nil, fmt.Errorf("alerts/%s: %w", name, err)
		}
		files[filepath.Join("alerts", name)] = content
	}
	return files, nil
}

func write(dir string, files map[string][]byte) error {
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
