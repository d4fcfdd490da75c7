// Package peak has the loops that show a processor's limits: one multiplying
// instruction on registers alone, and loads alone. Shares of these limits say how
// well kernels use a machine. It imports nothing of the project.
package peak
