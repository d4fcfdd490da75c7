package tokenizer

// Byte-level BPE writes a byte as a printable character: the printable bytes
// of Latin-1 as themselves, the other 68 as U+0100 and on, in order
// (openai/gpt-2 encoder.py, bytes_to_unicode).
var byteToRune, runeToByte = func() (to [256]rune, from map[rune]byte) {
	from = make(map[rune]byte, 256)
	next := rune(256)
	for b := range 256 {
		r := rune(b)
		if b < '!' || b > '~' && b < 0xA1 || b == 0xAD {
			r = next
			next++
		}
		to[b], from[r] = r, byte(b)
	}
	return to, from
}()

// unmapBytes returns the bytes that a token's text stands for, or false when a
// character of it stands for none.
func unmapBytes(text string) (string, bool) {
	out := make([]byte, 0, len(text))
	for _, r := range text {
		if r < 0x7F && r > ' ' {
			out = append(out, byte(r))
			continue
		}
		b, ok := runeToByte[r]
		if !ok {
			return "", false
		}
		out = append(out, b)
	}
	return string(out), true
}
