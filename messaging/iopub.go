package messaging

// Output publishes what a running cell produces. Every message has the cell's
// request as parent and is queued for all subscribers, in order, before the
// reply. Its methods do not wait for a subscriber and may be called from any
// goroutine until Execute returns; later calls are dropped. A silent execution
// publishes nothing.
type Output struct{}

// Stream writes text to "stdout" or "stderr".
func (o *Output) Stream(name, text string) {}

// Display shows a MIME bundle. displayID, when not empty, is what UpdateDisplay
// refers to.
func (o *Output) Display(data, metadata map[string]any, displayID string) {}

// UpdateDisplay replaces what Display showed under displayID.
func (o *Output) UpdateDisplay(data, metadata map[string]any, displayID string) {}

// Result is the cell's value.
func (o *Output) Result(data, metadata map[string]any) {}

// Clear empties the cell's output; with wait, only when the next output comes.
func (o *Output) Clear(wait bool) {}
