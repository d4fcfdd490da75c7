// Command _asm writes the assembly of simd's amd64 units: for each unit one .s
// file of tiles, one of vector kernels, and the Go stubs of both. It takes the
// directory of package simd; `go generate ./simd` runs it, and a test there
// requires that a run changes nothing.
package main

import (
	"fmt"
	"go/format"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: _asm DIR")
		os.Exit(2)
	}
	for _, f := range []struct {
		unit, name string
		a          *asm
	}{
		{"avx512", "tiles", avx512Tiles()},
		{"avx512", "vectors", avx512Vectors()},
		{"peak", "loops", peakLoops()},
	} {
		base := filepath.Join(os.Args[1], f.unit, f.name)
		stubs, err := format.Source(f.a.stubs.Bytes())
		check(err)
		check(os.WriteFile(base+"_amd64.s", f.a.text.Bytes(), 0o644))
		check(os.WriteFile(base+"_stubs_amd64.go", stubs, 0o644))
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// avx512Tiles are the tiles of every weight type and row count, and a table of
// them.
func avx512Tiles() *asm {
	a := newAsm("avx512")
	for _, k := range floatKinds {
		for _, mr := range rowCounts {
			a.floatTile(k, mr, 1)
		}
		for _, mr := range k.wide() {
			a.floatTile(k, mr, 2)
		}
	}
	for _, q := range quants {
		for _, mr := range rowCounts {
			a.exactTile(q, mr, 1)
			a.int8Tile(q, mr)
		}
		for _, mr := range wideCounts {
			a.exactTile(q, mr, 2)
		}
	}
	for _, k := range floatKinds {
		a.table(k.table, k.name, k.doc, k.wide())
	}
	for _, q := range quants {
		exact, int8 := q.docs()
		a.table("Exact"+q.name, "exact"+q.name, exact, wideCounts)
		a.table("Int8"+q.name, "int8"+q.name, int8, nil)
	}
	return a
}

// avx512Vectors are the kernels on one row of activations.
func avx512Vectors() *asm {
	a := newAsm("avx512")
	a.vectors()
	return a
}
