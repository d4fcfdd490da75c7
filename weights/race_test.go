//go:build race

package weights

const slow = 10
