package kernel

import "context"

// ConnectOptions say which resident a Host is to reach.
type ConnectOptions struct {
	// ConnectionFile names a resident; "" finds the user's resident of this
	// binary or starts it.
	ConnectionFile string
	Version        string // of this binary
	Exe            string // the binary to start; "": this one
	ClientName     string // for ps, e.g. "console"
}

// ConnectHost returns a Host that is a client of the resident. When the
// resident dies, the calls that were cut return KindKernelGone and the next
// Open finds or starts a new one; handles of the dead one stay KernelGone.
func ConnectHost(ctx context.Context, opt ConnectOptions) (Host, error) {
	return nil, errSkeleton
}
