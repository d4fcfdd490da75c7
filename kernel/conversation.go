package kernel

import (
	"context"
	"fmt"
	"slices"

	"github.com/llama-go/llama-go/kernel/rpc"
)

// encoder is what a conversation asks of a model: ids of dialogs and of texts.
type encoder interface {
	EncodeDialog(ctx context.Context, p rpc.ChatParams) (rpc.ChatResult, error)
	Tokenize(ctx context.Context, p rpc.TokenizeParams) ([]int32, error)
}

// conversation is a dialog and its ids. The ids of answers are those that the
// model generated, never a second tokenization of their text, so that each
// prompt begins with exactly what the session computed before.
type conversation struct {
	system string // "": none of our own
	turns  []turn
	owner  encoder // whose ids the turns hold; nil: none are known
}

// turn is one question and its answer.
type turn struct {
	cell   string // id of the cell that asked; "" in a console
	user   string
	answer string
	// prompt are the ids from the end of the previous answer, or from the
	// beginning, up to where the answer starts; nil: not known.
	prompt []int32
	ids    []int32 // of the answer; nil: not known
}

// forget drops all turns; the system message stays.
func (c *conversation) forget() { c.turns = nil }

// replaceFrom drops the turn that the cell asked before and all later ones, and
// says how many later ones there were. A cell without id never asked before.
func (c *conversation) replaceFrom(cell string) (later int) {
	if cell == "" {
		return 0
	}
	for i, t := range c.turns {
		if t.cell == cell {
			later = len(c.turns) - i - 1
			c.turns = c.turns[:i:i]
			return later
		}
	}
	return 0
}

// setSystem sets the system message. The ids of the first turn contain it.
func (c *conversation) setSystem(text string) {
	c.system = text
	if len(c.turns) > 0 {
		c.turns[0].prompt = nil
	}
}

// dropOldest drops n turns from the front.
func (c *conversation) dropOldest(n int) {
	c.turns = slices.Clone(c.turns[n:])
	if len(c.turns) > 0 {
		c.turns[0].prompt = nil
	}
}

// encode returns all ids of the conversation, the last turn's answer open, and
// fills in those that are not known. m must be the same model for the ids to
// be kept.
func (c *conversation) encode(ctx context.Context, m encoder) ([]int32, error) {
	if c.owner != m {
		for i := range c.turns {
			c.turns[i].prompt, c.turns[i].ids = nil, nil
		}
		c.owner = m
	}
	var all []int32
	for i := range c.turns {
		t := &c.turns[i]
		if t.prompt == nil {
			var err error
			if i == 0 {
				t.prompt, err = c.head(ctx, m, t.user)
			} else {
				t.prompt, err = delta(ctx, m, t.user)
			}
			if err != nil {
				return nil, err
			}
		}
		all = append(all, t.prompt...)
		if i == len(c.turns)-1 {
			break
		}
		if t.ids == nil {
			ids, err := m.Tokenize(ctx, rpc.TokenizeParams{Text: t.answer})
			if err != nil {
				return nil, err
			}
			t.ids = ids
		}
		all = append(all, t.ids...)
	}
	return all, nil
}

// head is the prompt of a first turn: everything up to the open answer.
func (c *conversation) head(ctx context.Context, m encoder, user string) ([]int32, error) {
	var dialog []rpc.ChatMessage
	if c.system != "" {
		dialog = append(dialog, rpc.ChatMessage{Role: "system", Content: c.system})
	}
	dialog = append(dialog, rpc.ChatMessage{Role: "user", Content: user})
	r, err := m.EncodeDialog(ctx, rpc.ChatParams{Dialog: dialog})
	return r.IDs, err
}

// delta is the prompt of a later turn: the end of the answer before, the user's
// message, and the opening of the next answer. It is what two short dialogs
// that differ in the answer alone have in common at their ends, which holds for
// any chat format.
func delta(ctx context.Context, m encoder, user string) ([]int32, error) {
	var ids [2][]int32
	for i, answer := range []string{"0", "1"} {
		r, err := m.EncodeDialog(ctx, rpc.ChatParams{Dialog: []rpc.ChatMessage{
			{Role: "user", Content: "0"}, {Role: "assistant", Content: answer}, {Role: "user", Content: user},
		}})
		if err != nil {
			return nil, err
		}
		ids[i] = r.IDs
	}
	a, b := ids[0], ids[1]
	n := 0
	for n < min(len(a), len(b)) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	if n == min(len(a), len(b)) {
		return nil, fmt.Errorf("kernel: the chat format drops the assistant's messages: %d ids are the same for two dialogs", n)
	}
	return a[len(a)-n:], nil
}

// fit drops the oldest turns until the ids and reserve more tokens fit into
// limit, and returns the ids and how many turns went. Once something must go it
// makes room down to three quarters, so that not every further turn has to
// compute the whole conversation anew. The last turn always stays.
func (c *conversation) fit(ctx context.Context, m encoder, limit, reserve int) (ids []int32, dropped int, err error) {
	ids, err = c.encode(ctx, m)
	if err != nil || len(ids)+reserve <= limit {
		return ids, 0, err
	}
	for len(c.turns) > 1 && len(ids)+reserve > limit*3/4 {
		c.dropOldest(1)
		dropped++
		if ids, err = c.encode(ctx, m); err != nil {
			return nil, dropped, err
		}
	}
	return ids, dropped, nil
}
