package tokenizer

import (
	"encoding/binary"
	"math"
)

// protoReader reads the protobuf wire format of one message. It never looks
// beyond the bytes it was given, and refuses what no encoder writes: groups,
// field numbers out of range, overlong varints.
// https://protobuf.dev/programming-guides/encoding/
type protoReader struct {
	data []byte
	pos  int
}

// protoField is one field. What is set depends on wire.
type protoField struct {
	num  int
	wire int    // 0 varint, 1 eight bytes, 2 length-delimited, 5 four bytes
	u    uint64 // wire 0, 1, 5
	data []byte // wire 2, part of the message
}

func (p *protoReader) more() bool { return p.pos < len(p.data) }

func (p *protoReader) varint() (uint64, error) {
	v, n := binary.Uvarint(p.data[p.pos:])
	if n <= 0 {
		return 0, errorf("protobuf: no number at byte %d of %d", p.pos, len(p.data))
	}
	p.pos += n
	return v, nil
}

func (p *protoReader) take(n uint64) ([]byte, error) {
	if n > uint64(len(p.data)-p.pos) {
		return nil, errorf("protobuf: a field at byte %d has %d bytes, %d are left", p.pos, n, len(p.data)-p.pos)
	}
	b := p.data[p.pos : p.pos+int(n)]
	p.pos += int(n)
	return b, nil
}

func (p *protoReader) next() (f protoField, err error) {
	at := p.pos
	tag, err := p.varint()
	if err != nil {
		return f, err
	}
	if tag>>3 == 0 || tag>>3 > 1<<29-1 {
		return f, errorf("protobuf: field number %d at byte %d", tag>>3, at)
	}
	f.num, f.wire = int(tag>>3), int(tag&7)
	var b []byte
	switch f.wire {
	case 0:
		f.u, err = p.varint()
	case 1:
		if b, err = p.take(8); err == nil {
			f.u = binary.LittleEndian.Uint64(b)
		}
	case 2:
		var n uint64
		if n, err = p.varint(); err == nil {
			f.data, err = p.take(n)
		}
	case 5:
		if b, err = p.take(4); err == nil {
			f.u = uint64(binary.LittleEndian.Uint32(b))
		}
	default:
		err = errorf("protobuf: wire type %d of field %d at byte %d", f.wire, f.num, at)
	}
	return f, err
}

// fields calls f for each field of a message.
func fields(data []byte, f func(protoField) error) error {
	p := protoReader{data: data}
	for p.more() {
		field, err := p.next()
		if err != nil {
			return err
		}
		if err := f(field); err != nil {
			return err
		}
	}
	return nil
}

// Typed values; a wrong wire type is an error.

func (f protoField) want(wire int) error {
	if f.wire != wire {
		return errorf("protobuf: field %d has wire type %d, expected %d", f.num, f.wire, wire)
	}
	return nil
}

func (f protoField) bool(to *bool) error {
	*to = f.u != 0
	return f.want(0)
}

func (f protoField) int32(to *int32) error {
	*to = int32(f.u)
	return f.want(0)
}

func (f protoField) float(to *float32) error {
	*to = math.Float32frombits(uint32(f.u))
	return f.want(5)
}

func (f protoField) string(to *string) error {
	*to = string(f.data)
	return f.want(2)
}

func (f protoField) bytes(to *[]byte) error {
	*to = f.data
	return f.want(2)
}
