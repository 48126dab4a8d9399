package main

import (
	"os"
	"path/filepath"
	"testing"
)

// The table that the scenarios are held to is the one that people read.
func TestMatrixOfTheDocument(t *testing.T) {
	root := filepath.Join("..", "..", "..", "..")
	doc, err := os.ReadFile(filepath.Join(root, matrixDoc))
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile(filepath.Join(root, goldenDir, matrixFile))
	if err != nil {
		t.Fatal(err)
	}
	want, err := withMatrix(string(doc), string(table))
	if err != nil {
		t.Fatal(err)
	}
	if string(doc) != want {
		t.Errorf("%s is not what %s has: run `make planting-matrix`", matrixDoc, matrixFile)
	}
	if _, err := withMatrix("no markers", ""); err == nil {
		t.Error("no error for a document without markers")
	}
}
