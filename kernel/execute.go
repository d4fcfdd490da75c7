package kernel

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/llama-go/llama-go/kernel/rpc"
	"github.com/llama-go/llama-go/messaging"
)

// execution is one cell that runs.
type execution struct {
	ctx      context.Context
	front    *Front
	req      *messaging.ExecuteRequest
	out      output
	payload  []map[string]any
	metadata map[string]any
	text     strings.Builder // the cell's text result, for the history
}

// rich says whether the front end draws displays in place. JupyterLab and VS
// Code name the cell; what fills notebooks without a person (nbclient, and so
// nbconvert and papermill) allows no stdin, and would keep each piece of a
// stream as an output of its own. A console does neither.
func (x *execution) rich() bool { return x.req.CellID != "" || !x.req.AllowStdin }

// Execute implements messaging.Kernel.
func (f *Front) Execute(ctx context.Context, req *messaging.ExecuteRequest, out *messaging.Output) messaging.ExecuteReply {
	return f.execute(ctx, req, out)
}

func (f *Front) execute(ctx context.Context, req *messaging.ExecuteRequest, out output) messaging.ExecuteReply {
	x := &execution{ctx: ctx, front: f, req: req, out: out}
	err := x.run()
	if req.StoreHistory && strings.TrimSpace(req.Code) != "" {
		f.history.add(req.Count, req.Code, x.text.String())
	}
	reply := messaging.ExecuteReply{Status: "ok"}
	if err != nil {
		reply = errorReply(err)
	} else {
		reply.UserExpressions = f.expressions(req.UserExpressions)
	}
	reply.Payload, reply.Metadata = x.payload, x.metadata
	return reply
}

// run runs the magics in order, then the prompt. Names are checked before
// anything runs.
func (x *execution) run() error {
	c := parseCell(x.req.Code)
	for _, m := range c.magics {
		if err := m.check(); err != nil {
			return err
		}
	}
	for _, m := range c.magics {
		if err := x.magic(m); err != nil {
			return err
		}
	}
	if c.prompt == "" {
		return nil
	}
	return x.turn(c.prompt)
}

// withModel runs do with the current model, opening it first where needed. When
// the resident dies meanwhile, it is started again and do runs once more.
func (x *execution) withModel(do func(m *openModel) error) error {
	m, err := x.current()
	for try := 0; err == nil; try++ {
		err = do(m)
		if !isGone(err) || try == 2 || x.ctx.Err() != nil {
			return err
		}
		x.warn("the engine is gone (%v); starting it again", err)
		m, err = x.reopen()
	}
	return err
}

// turn asks the model, as the next message of the conversation.
func (x *execution) turn(user string) error {
	talk := &x.front.talk
	before, owner := slices.Clone(talk.turns), talk.owner
	a := newAnswer(x)
	defer a.live.close()
	asked := false
	err := x.withModel(func(m *openModel) error {
		if !m.chats() {
			return x.complete(m, a, user)
		}
		if !asked { // once: a second try goes on with the same turn
			asked = true
			if later := talk.replaceFrom(x.req.CellID); later > 0 {
				a.note("replaced this cell's turn and dropped %d later", later)
			}
			talk.turns = append(slices.Clip(talk.turns), turn{cell: x.req.CellID, user: user})
		}
		return x.reply(m, a)
	})
	if asked {
		if err != nil || a.interrupted() && len(a.ids) == 0 {
			talk.turns, talk.owner = before, owner // nothing was said
		} else {
			t := &talk.turns[len(talk.turns)-1]
			t.answer, t.ids = a.text, a.ids
			if t.ids == nil {
				t.ids = []int32{}
			}
		}
	}
	if err != nil {
		return err
	}
	return a.finish(x)
}

// reply generates the answer to the conversation's last turn.
func (x *execution) reply(m *openModel, a *answer) error {
	set := x.front.settingsNow()
	s, err := m.chatSession(x.ctx, set.maxSeqLen)
	if err != nil {
		return err
	}
	limit := s.Info().MaxSeqLen
	ids, dropped, err := x.front.talk.fit(x.ctx, m, limit, min(set.maxGenLen, limit/4))
	if err != nil {
		return err
	}
	if dropped > 0 {
		x.warn("the context of %d tokens is full: dropped the oldest %s; the system message stays", limit, plural(dropped, "turn"))
	}
	return x.generate(m, s, ids, a)
}

// complete continues raw text, outside the conversation.
func (x *execution) complete(m *openModel, a *answer, text string) error {
	if !m.chats() && !m.noted {
		m.noted = true
		x.warn("%s has no chat format: a cell is text that it continues", m.name)
	}
	ids, err := m.Tokenize(x.ctx, rpc.TokenizeParams{Model: m.Info().Model, Text: text, BOS: m.Info().Info.Tokenizer.AddBOS})
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		return userError{"RequestError", "there is nothing to continue: the text has no tokens", "%complete Once upon a time"}
	}
	s, err := m.rawSession(x.ctx)
	if err != nil {
		return err
	}
	return x.generate(m, s, ids, a)
}

// expressions answers user_expressions: names of settings, and "model".
func (f *Front) expressions(asked map[string]string) map[string]any {
	answers := map[string]any{}
	set := f.settingsNow()
	for key, expr := range asked {
		value, ok := "", false
		if expr == "model" {
			value, ok = f.currentName(), true
		} else if p, known := findParam(expr); known {
			value, ok = p.get(&set), true
		}
		if ok {
			answers[key] = map[string]any{"status": "ok", "data": map[string]any{"text/plain": value}, "metadata": map[string]any{}}
		} else {
			msg := fmt.Sprintf("%q is neither a setting nor model", expr)
			answers[key] = map[string]any{"status": "error", "ename": "NameError", "evalue": msg, "traceback": []string{"NameError: " + msg}}
		}
	}
	return answers
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
