//go:build !amd64 || purego

package simd

func amxError() string { return "" }

func hasAMX() bool { return false }
