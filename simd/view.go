package simd

import "unsafe"

// littleEndian tells whether this machine stores floats as the files do.
var littleEndian = func() bool {
	one := uint16(1)
	return *(*byte)(unsafe.Pointer(&one)) == 1
}()

// floatView is b as float32 without a copy, or nil where the memory is not
// aligned for that or the machine is not little-endian; such rows are decoded.
// This is the only place where memory is looked at as another type.
func floatView(b []byte) []float32 {
	if len(b) < 4 || !littleEndian || uintptr(unsafe.Pointer(unsafe.SliceData(b)))%unsafe.Alignof(float32(0)) != 0 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}
