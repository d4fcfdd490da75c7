// Package reftest holds what the units of package simd compute, one exact step
// after another, and the tests that compare a unit with it. A unit's own tests
// name its kernels and call them; nothing else imports this package.
package reftest
