//go:build amd64 && !purego && !linux

package amx

import "errors"

func permission() error { return errors.New("tiles are used on Linux only") }
