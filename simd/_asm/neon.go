package main

import (
	"math"
	"strings"
)

// neon writes arm64 assembly. Loads, stores, integers and branches are Go's own;
// what computes on vectors is written as words, since the Go assembler lacks
// most of it, each beside its text as binutils disassembles it: a test of package
// neon compares both.
type neon struct{ *asm }

// newNeon begins both files of package pkg.
func newNeon(pkg string) neon {
	a := neon{&asm{unit: &unit{name: pkg}, arch: "arm64"}}
	const head = generated + "//go:build arm64 && !purego\n\n"
	a.text.WriteString(head + "#include \"textflag.h\"\n\n")
	a.stubs.WriteString(head + "package " + pkg + "\n\nimport \"unsafe\"\n\n")
	return a
}

// v is a vector register.
type v int

// three are instructions of three registers of one shape.
var three = map[string]uint32{
	"add 4s": 0x4ea08400, "addp 4s": 0x4ea0bc00, "and 16b": 0x4e201c00, "eor 16b": 0x6e201c00,
	"fadd 4s": 0x4e20d400, "fdiv 4s": 0x6e20fc00, "fmax 4s": 0x4e20f400, "fmaxnm 4s": 0x4e20c400,
	"fmin 4s": 0x4ea0f400, "fminnm 4s": 0x4ea0c400, "fmla 4s": 0x4e20cc00, "fmls 4s": 0x4ea0cc00,
	"fmul 4s": 0x6e20dc00, "fsub 4s": 0x4ea0d400, "mul 4s": 0x4ea09c00, "orr 16b": 0x4ea01c00, "smax 4s": 0x4ea06400,
	"sub 4s": 0x6ea08400, "trn1 4s": 0x4e802800, "trn2 4s": 0x4e806800, "uzp1 4s": 0x4e801800, "uzp2 4s": 0x4e805800,
	"zip1 4s": 0x4e803800, "zip2 4s": 0x4e807800, "zip1 2d": 0x4ec03800, "zip2 2d": 0x4ec07800,
}

// op is d = n op m.
func (a neon) op(name, shape string, d, n, m v) {
	base, ok := three[name+" "+shape]
	if !ok {
		panic(name + " " + shape)
	}
	a.word(base|uint32(m)<<16|uint32(n)<<5|uint32(d), "%s v%d.%s, v%d.%s, v%d.%s", name, d, shape, n, shape, m, shape)
}

// elementOps take one element of their third register: shapes of the first two,
// and of the element.
var elementOps = map[string]struct {
	base              uint32
	d, n, one, prefix string
}{
	"fmla":  {0x4f801000, "4s", "4s", "s", ""},
	"fmul":  {0x4f809000, "4s", "4s", "s", ""},
	"sdot":  {0x4f80e000, "4s", "16b", "4b", ""},
	"usdot": {0x4f80f000, "4s", "16b", "4b", ""},
}

// by is d = n op m[i], or d += of it.
func (a neon) by(name string, d, n, m v, i int) {
	op, ok := elementOps[name]
	if !ok {
		panic(name)
	}
	a.word(op.base|uint32(i&1)<<21|uint32(i>>1)<<11|uint32(m)<<16|uint32(n)<<5|uint32(d),
		"%s v%d.%s, v%d.%s, v%d.%s[%d]", name, d, op.d, n, op.n, m, op.one, i)
}

// long are instructions of three registers whose shapes differ, and those of two.
var (
	long = map[string]struct {
		base uint32
		d, n string
	}{
		"smull": {0x0e20c000, "8h", "8b"}, "smull2": {0x4e20c000, "8h", "16b"},
		"smlal": {0x0e208000, "8h", "8b"}, "smlal2": {0x4e208000, "8h", "16b"},
	}
	two = map[string]struct {
		base uint32
		d, n string
	}{
		"fcvtl": {0x0e217800, "4s", "4h"}, "fcvtl2": {0x4e217800, "4s", "8h"},
		"fcvtn": {0x0e216800, "4h", "4s"}, "fcvtn2": {0x4e216800, "8h", "4s"},
		"fcvtns": {0x4e21a800, "4s", "4s"}, "fcvtzs": {0x4ea1b800, "4s", "4s"},
		"frintn": {0x4e218800, "4s", "4s"}, "fneg": {0x6ea0f800, "4s", "4s"},
		"scvtf": {0x4e21d800, "4s", "4s"}, "ucvtf": {0x6e21d800, "4s", "4s"},
		"sadalp": {0x4e606800, "4s", "8h"},
		"xtn":    {0x0e612800, "4h", "4s"}, "xtn2": {0x4e612800, "8h", "4s"},
		"xtn8": {0x0e212800, "8b", "8h"},
	}
)

// wide is d = n op m, or d += of it.
func (a neon) wide(name string, d, n, m v) {
	op, ok := long[name]
	if !ok {
		panic(name)
	}
	a.word(op.base|uint32(m)<<16|uint32(n)<<5|uint32(d), "%s v%d.%s, v%d.%s, v%d.%s", name, d, op.d, n, op.n, m, op.n)
}

// to is d = op n, or d += of it.
func (a neon) to(name string, d, n v) {
	op, ok := two[name]
	if !ok {
		panic(name)
	}
	a.word(op.base|uint32(n)<<5|uint32(d), "%s v%d.%s, v%d.%s", strings.TrimSuffix(name, "8"), d, op.d, n, op.n)
}

// mov is d = n.
func (a neon) mov(d, n v) {
	a.word(0x4ea01c00|uint32(n)<<16|uint32(n)<<5|uint32(d), "mov v%d.16b, v%d.16b", d, n)
}

// clear is d = 0.
func (a neon) clear(d v) { a.word(0x4f000400|uint32(d), "movi v%d.4s, #0x0", d) }

// shift is d = n op bits.
func (a neon) shift(name, shape string, d, n v, bits int) {
	base, ok := map[string]int{
		"ushr 4s": 0x6f000400 | 64<<16 - bits<<16, "sshr 4s": 0x4f000400 | 64<<16 - bits<<16,
		"ushr 16b": 0x6f000400 | 16<<16 - bits<<16, "shl 4s": 0x4f005400 | 32<<16 + bits<<16,
	}[name+" "+shape]
	if !ok {
		panic(name + " " + shape)
	}
	a.word(uint32(base)|uint32(n)<<5|uint32(d), "%s v%d.%s, v%d.%s, #%d", name, d, shape, n, shape, bits)
}

// ucvtf is d = float32(n) / 2^bits.
func (a neon) ucvtf(d, n v, bits int) {
	if bits == 0 {
		a.to("ucvtf", d, n)
		return
	}
	a.word(0x6f00e400|uint32(64-bits)<<16|uint32(n)<<5|uint32(d), "ucvtf v%d.4s, v%d.4s, #%d", d, n, bits)
}

// dup is d = n[i] in all lanes.
func (a neon) dup(d, n v, i int) {
	a.word(0x4e040400|uint32(i)<<19|uint32(n)<<5|uint32(d), "dup v%d.4s, v%d.s[%d]", d, n, i)
}

// across is lane 0 of d = op over the lanes of n.
func (a neon) across(name string, d, n v) {
	base, ok := map[string]uint32{"addv": 0x4eb1b800, "smaxv": 0x4eb0a800}[name]
	if !ok {
		panic(name)
	}
	a.word(base|uint32(n)<<5|uint32(d), "%s s%d, v%d.4s", name, d, n)
}

// word writes an instruction as its bits and its text.
func (a neon) word(bits uint32, text string, args ...any) {
	a.i("WORD $0x%08x // "+text, append([]any{bits}, args...)...)
}

// broadcast sets d to one 32-bit value in all lanes; it uses R15.
func (a neon) broadcast(bits uint32, d v) {
	a.i("MOVD $0x%08x, R15", bits)
	a.word(0x4e040c00|15<<5|uint32(d), "dup v%d.4s, w15", d)
}

func (a neon) constant(x float32, d v) { a.broadcast(math.Float32bits(x), d) }

// load reads off(base) into two vectors, or one.
func (a neon) load(off int, base string, ds ...v) {
	for ; len(ds) > 1; ds, off = ds[2:], off+32 {
		a.i("FLDPQ %d(%s), (F%d, F%d)", off, base, ds[0], ds[1])
	}
	if len(ds) > 0 {
		a.i("FMOVQ %d(%s), F%d", off, base, ds[0])
	}
}

// store writes vectors to off(base) and on.
func (a neon) store(off int, base string, ds ...v) {
	for ; len(ds) > 1; ds, off = ds[2:], off+32 {
		a.i("FSTPQ (F%d, F%d), %d(%s)", ds[0], ds[1], off, base)
	}
	if len(ds) > 0 {
		a.i("FMOVQ F%d, %d(%s)", ds[0], off, base)
	}
}

// halves reads 4 binary16 at off(base) as float32.
func (a neon) halves(off int, base string, d v) {
	a.i("FMOVD %d(%s), F%d", off, base, d)
	a.to("fcvtl", d, d)
}

// args reads the arguments, 8 bytes each, into registers.
func (a neon) args(names ...string) {
	for n, name := range names {
		name, reg, _ := strings.Cut(name, ":")
		a.i("MOVD %s+%d(FP), %s", name, 8*n, reg)
	}
}

// end ends a function.
func (a neon) end() {
	a.i("RET")
	a.text.WriteByte('\n')
}

// run is n registers from first on.
func run(first v, n int) []v {
	rs := make([]v, n)
	for i := range rs {
		rs[i] = first + v(i)
	}
	return rs
}

// ring hands out registers in turn from first to last.
func ring(first, last v) func() v {
	next := first
	return func() v {
		r := next
		if next++; next > last {
			next = first
		}
		return r
	}
}
