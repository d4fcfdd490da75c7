package weights

import "maps"

// Memory is a Source of tensors in ordinary memory, for models without a file.
// It never changes: With makes another.
type Memory struct {
	names []string
	views map[string]View
	order QKOrder
}

// NewMemory makes a Source of tensors whose names are canonical. The data is
// not copied. A name that comes twice keeps its first place and its last view.
func NewMemory(tensors []View, order QKOrder) *Memory {
	m := &Memory{make([]string, 0, len(tensors)), make(map[string]View, len(tensors)), order}
	for _, v := range tensors {
		if _, ok := m.views[v.Name]; !ok {
			m.names = append(m.names, v.Name)
		}
		m.views[v.Name] = v
	}
	return m
}

// With returns a Source that has the replaced views under their canonical names
// and shares the rest. Names that m does not have are left out.
func (m *Memory) With(replaced map[string]View) *Memory {
	views := maps.Clone(m.views)
	for name, v := range replaced {
		if _, ok := views[name]; ok {
			views[name] = v
		}
	}
	return &Memory{m.names, views, m.order}
}

// Names lists the canonical names.
func (m *Memory) Names() []string { return m.names }

// Tensor returns the view of a canonical name.
func (m *Memory) Tensor(name string) (View, bool) {
	v, ok := m.views[name]
	return v, ok
}

// QKOrder says how Q and K rows pair.
func (m *Memory) QKOrder() QKOrder { return m.order }

// RopeFactors is nil: models in memory have plain or config-made frequencies.
func (m *Memory) RopeFactors() []float32 { return nil }

// Close does nothing: the memory goes when nobody holds the Source.
func (m *Memory) Close() error { return nil }
