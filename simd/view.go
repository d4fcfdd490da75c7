package simd

import "unsafe"

// littleEndian tells whether this machine stores floats as the files do.
var littleEndian = func() bool {
	one := uint16(1)
	return *(*byte)(unsafe.Pointer(&one)) == 1
}()

// floatView is b as float32 without a copy, or nil where the memory is not
// aligned for that or the machine is not little-endian; such rows are decoded.
func floatView(b []byte) []float32 {
	if len(b) < 4 || !littleEndian || uintptr(unsafe.Pointer(unsafe.SliceData(b)))%unsafe.Alignof(float32(0)) != 0 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

// pointer is where s lies.
func pointer[T any](s []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }

// as looks at memory as another type of elements, as many as fit.
func as[T, S any](s []S) []T {
	var t T
	var e S
	return unsafe.Slice((*T)(pointer(s)), len(s)*int(unsafe.Sizeof(e))/int(unsafe.Sizeof(t)))
}
