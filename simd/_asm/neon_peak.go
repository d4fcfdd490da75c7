package main

// neonPeakLoops are the loops of peakLoops for arm64.
func neonPeakLoops() *asm {
	a := newNeon("peak")
	const accs = 24
	loop := func(name, doc string, step func(acc v)) {
		a.fn(name, "(n int)", doc)
		a.args("n:R0")
		a.broadcast(0x3f8d4c2b, 30)
		a.broadcast(0x3f7d71a3, 31)
		for acc := range v(accs) {
			a.mov(acc, 30)
		}
		a.label("loop")
		for acc := range v(accs) {
			step(acc)
		}
		a.i("SUBS $1, R0")
		a.i("BNE loop")
		a.end()
	}
	loop("fmaNEON", "fmaNEON is FMLA: 4 lanes of float32 multiply-adds.", func(acc v) { a.by("fmla", acc, 31, 30, int(acc%4)) })
	loop("sdot", "sdot is SDOT: 16 products of bytes.", func(acc v) { a.by("sdot", acc, 31, 30, int(acc%4)) })
	loop("usdot", "usdot is USDOT: 16 products of bytes.", func(acc v) { a.by("usdot", acc, 31, 30, int(acc%4)) })
	loop("smull", "smull is SMULL, SMLAL and half a SADALP: 8 products of bytes an instruction of the first two.", func(acc v) {
		switch tmp := 24 + acc/3%4; acc % 3 {
		case 0:
			a.wide("smull", tmp, 31, 30)
		case 1:
			a.wide("smlal2", tmp, 31, 30)
		default:
			a.to("sadalp", acc, tmp)
		}
	})
	a.fn("readNEON", "(n int, p unsafe.Pointer)", "readNEON reads n times 128 bytes.")
	a.args("n:R0", "p:R1")
	a.label("loop")
	a.load(0, "R1", run(0, 8)...)
	a.i("ADD $128, R1")
	a.i("SUBS $1, R0")
	a.i("BNE loop")
	a.end()
	return a.asm
}
