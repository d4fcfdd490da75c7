//go:build !race

package weights

// slow is how much slower the race detector makes this package.
const slow = 1
