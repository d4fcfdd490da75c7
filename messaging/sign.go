package messaging

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"sync"
)

// signer makes and checks signatures: the hex HMAC-SHA256 of the four JSON
// frames as they are on the wire.
type signer struct {
	key []byte // empty: no signatures
}

// sign returns the signature of the frames, "" without a key.
func (s signer) sign(frames ...[]byte) string {
	if len(s.key) == 0 {
		return ""
	}
	h := hmac.New(sha256.New, s.key)
	for _, f := range frames {
		h.Write(f)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// verify reports whether signature is want in hex, in time that does not depend
// on where they differ, and returns its raw bytes for the replay set.
func (s signer) verify(signature, want []byte) (sum [sha256.Size]byte, ok bool) {
	if len(signature) != hex.EncodedLen(len(sum)) {
		return sum, false
	}
	if _, err := hex.Decode(sum[:], signature); err != nil {
		return sum, false
	}
	return sum, hmac.Equal(sum[:], want)
}

// replaySet remembers the last verified signatures. Only verified ones enter,
// so that junk cannot flush it.
type replaySet struct {
	mu   sync.Mutex
	seen map[[sha256.Size]byte]struct{}
	ring [][sha256.Size]byte // in order of arrival; next is the oldest once full
	next int
	size int
}

func newReplaySet(size int) *replaySet {
	return &replaySet{seen: make(map[[sha256.Size]byte]struct{}), size: size}
}

// add remembers sum and reports whether it is new.
func (r *replaySet) add(sum [sha256.Size]byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.seen[sum]; ok {
		return false
	}
	if len(r.ring) < r.size {
		r.ring = append(r.ring, sum)
	} else {
		delete(r.seen, r.ring[r.next])
		r.ring[r.next] = sum
		r.next = (r.next + 1) % r.size
	}
	r.seen[sum] = struct{}{}
	return true
}
