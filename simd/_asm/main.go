// Command _asm writes simd's units: for each unit one .s file of tiles, one of
// vector kernels, the Go stubs of both, and the Go files in shared, which are the
// same in every unit of amd64. It takes the directory of package simd; `go generate
// ./simd` runs it, and a test there requires that a run changes nothing.
package main

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
)

// shared are the Go files of every unit, package shared in them.
//
//go:embed shared/*.go
var shared embed.FS

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: _asm DIR")
		os.Exit(2)
	}
	dir := func(pkg string) string {
		d := filepath.Join(os.Args[1], pkg)
		check(os.MkdirAll(d, 0o777))
		return d
	}
	write := func(name string, a *asm) {
		base, arch := filepath.Join(dir(a.name), name), "_"+cmp.Or(a.arch, "amd64")
		stubs, err := format.Source(a.stubs.Bytes())
		check(err)
		check(os.WriteFile(base+arch+".s", append(a.text.Bytes(), a.constants.Bytes()...), 0o666))
		check(os.WriteFile(base+"_stubs"+arch+".go", stubs, 0o666))
	}
	write("loops", peakLoops())
	write("loops", neonPeakLoops())
	write("tiles", neonTiles())
	write("kquants", neonKQuants())
	write("own", neonOwn())
	write("vectors", neonVectors())
	write("tiles", amxTiles())
	write("kquants", kquants512())
	write("kquants", kquants256())
	write("own", own512())
	write("own", own256())
	for _, u := range []*unit{&avx512, &avx2} {
		write("tiles", tiles(u))
		write("vectors", vectors(u))
		files, err := shared.ReadDir("shared")
		check(err)
		for _, f := range files {
			text, err := shared.ReadFile("shared/" + f.Name())
			check(err)
			text = bytes.ReplaceAll(text, []byte("package shared"), []byte("package "+u.name))
			text = bytes.ReplaceAll(text, []byte("simd/shared"), []byte("simd/"+u.name))
			check(os.WriteFile(filepath.Join(dir(u.name), f.Name()), append([]byte(generated), text...), 0o666))
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A tileKind is a kind of tiles of a unit, and its table.
type tileKind struct {
	table, name string
	doc         []string
	rows, wide  []int // of tiles of one and of two panels
	write       func(mr, panels int)
	// Where decode is, tiles serve few rows, and decoder is what the table says of
	// it: from how many rows on, its name, the elements of a block and the bytes of
	// decodeStep elements.
	decode  func()
	decoder string
}

// tiles are those of every kind and row count, and tables of them.
func tiles(u *unit) *asm {
	a := newAsm(u)
	kinds := a.kinds512()
	if u.parts > 1 {
		kinds = a.kinds256()
	}
	a.kinds(kinds)
	return a
}

// kinds writes the tiles of every kind and row count, and tables of them.
func (a *asm) kinds(kinds []tileKind) {
	for _, k := range kinds {
		for _, mr := range k.rows {
			k.write(mr, 1)
		}
		for _, mr := range k.wide {
			k.write(mr, 2)
		}
		if k.decode != nil {
			k.decode()
		}
	}
	for _, k := range kinds {
		a.table(k)
	}
}

// kquants512 are the tiles of kquants.
func kquants512() *asm {
	a := newAsm(&avx512)
	var kinds []tileKind
	for _, q := range kquants {
		exact, int8 := q.docs()
		kinds = append(kinds,
			tileKind{table: "Exact" + q.name, name: "exact" + q.name, doc: exact, rows: rowCounts, wide: wideCounts,
				write: func(mr, panels int) { a.exactK(q, mr, panels) }},
			tileKind{table: "Int8" + q.name, name: "int8" + q.name, doc: int8, rows: rowCounts,
				write: func(mr, _ int) { a.int8K(q, mr) }})
	}
	a.kinds(kinds)
	return a
}

// own512 are the tiles of ownKinds and what makes their operands.
func own512() *asm {
	a := newAsm(&avx512)
	var kinds []tileKind
	for _, q := range ownKinds {
		kinds = append(kinds,
			tileKind{table: "Exact" + q.name, name: "exact" + q.name, doc: q.exact, rows: rowCounts, wide: wideCounts,
				write: func(mr, panels int) { a.ownExact(q, mr, panels) }},
			tileKind{table: "Int8" + q.name, name: "int8" + q.name, doc: q.int8, rows: rowCounts,
				write: func(mr, _ int) { a.ownInt8(q, mr) }})
	}
	a.kinds(kinds)
	a.hadamard512()
	a.quantizeOwn512()
	a.sumFit()
	return a
}

func (a *asm) kinds512() (kinds []tileKind) {
	for _, k := range floatKinds {
		kinds = append(kinds, tileKind{table: k.table, name: k.name, doc: k.doc, rows: rowCounts, wide: k.wide(),
			write: func(mr, panels int) { a.floatTile(k, mr, panels) }})
	}
	for _, q := range quants {
		exact, int8 := q.docs()
		kinds = append(kinds,
			tileKind{table: "Exact" + q.name, name: "exact" + q.name, doc: exact, rows: rowCounts, wide: wideCounts,
				write: func(mr, panels int) { a.exactTile(q, mr, panels) }},
			tileKind{table: "Int8" + q.name, name: "int8" + q.name, doc: int8, rows: rowCounts,
				write: func(mr, _ int) { a.int8Tile(q, mr) }})
	}
	return kinds
}

// kinds256 are those of 512 bits but the pairs of bfloat16.
func (a *asm) kinds256() (kinds []tileKind) {
	for _, k := range floatKinds[:3] {
		kinds = append(kinds, tileKind{table: k.table, name: k.name, doc: k.doc, rows: floatRows256, wide: wideCounts,
			write: func(mr, panels int) { a.floatTile256(k, mr, panels) }})
	}
	for _, q := range quants {
		exact, int8 := q.docs()
		rows := int8Rows256
		if q.bits == 8 {
			rows = rows[:4]
		}
		kinds = append(kinds,
			tileKind{table: "Exact" + q.name, name: "exact" + q.name, doc: exact, rows: exactRows256, wide: wideCounts,
				decoder: fmt.Sprintf("12, decode%s, 32, %d", q.name, decodeStep/32*q.blockBytes()), decode: func() { a.decodeBlocks(q) },
				write: func(mr, panels int) { a.exactTile256(q, mr, panels) }},
			tileKind{table: "Int8" + q.name, name: "int8" + q.name, doc: int8, rows: rows,
				write: func(mr, _ int) { a.int8Tile256(q, mr) }})
	}
	return kinds
}

// vectors are the kernels on one row of activations.
func vectors(u *unit) *asm {
	a := newAsm(u)
	a.vectors()
	return a
}
