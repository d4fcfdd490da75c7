package kernel

import (
	"fmt"
	"html"
	"strings"

	"github.com/llama-go/llama-go/internal/store"
	"github.com/llama-go/llama-go/internal/units"
	"github.com/llama-go/llama-go/kernel/rpc"
)

// What each magic does; magic.go says how it is written.

func (x *execution) magicModel(text string) error {
	if text == "" {
		return x.listModels()
	}
	had := x.front.model
	m, err := x.open(text)
	if err != nil {
		return err
	}
	info := m.Info().Info
	how := "loaded in " + seconds(m.openedIn)
	if info.Resident {
		how = "attached in " + seconds(m.openedIn) + ", it was loaded already"
	}
	x.greyLine(fmt.Sprintf("%s: %s parameters, %s, %s", info.Name, count(info.Parameters), units.Bytes(info.Bytes), how))
	if s := info.Sampling; s != (rpc.Sampling{}) {
		temperature, topP := adviceOf(s).temperature, adviceOf(s).topP
		x.greyLine(fmt.Sprintf("drawn at temperature %s and top_p %s, as its files advise, unless %%set says otherwise", number(temperature), number(topP)))
	}
	if n := len(x.front.talk.turns); had != nil && n > 0 && m.chats() {
		x.greyLine(fmt.Sprintf("the conversation of %s goes on with it; %%reset starts afresh", plural(n, "turn")))
	}
	return nil
}

// listModels shows the model in use and the names that are known.
func (x *execution) listModels() error {
	f := x.front
	now := f.currentName()
	if f.model == nil {
		now += " (opened at first use)"
	}
	x.say("model: %s", now)
	list, err := store.List()
	if err != nil {
		return err
	}
	for _, e := range list {
		where := "not here yet: %model " + e.Name + " pulls it"
		if e.Pulled {
			where = shortPath(e.Path)
		}
		x.say("  %-10s %s, %s, %s · %s", e.Name, e.Title, units.Bytes(e.Bytes), e.License, where)
	}
	return nil
}

func (x *execution) magicSet(text string) error {
	f := x.front
	old := f.settingsNow()
	if text == "" {
		x.out.Stream("stdout", old.String())
		return nil
	}
	if p, ok := findParam(text); ok {
		x.say("%s=%s", p.name, p.get(&old))
		return nil
	}
	set, err := old.apply(text)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.settings = set
	f.mu.Unlock()
	if (set.precision != old.precision || set.quantize != old.quantize) && f.model != nil {
		if _, err := x.reopen(); err != nil {
			f.mu.Lock()
			f.settings = old
			f.mu.Unlock()
			return err
		}
	}
	var shown []string
	for _, p := range params {
		if strings.Contains(joinEquals(text), p.name+"=") {
			shown = append(shown, p.name+"="+p.get(&set))
		}
	}
	x.say("%s", strings.Join(shown, " "))
	return nil
}

func (x *execution) magicSystem(text string) error {
	talk := &x.front.talk
	switch {
	case text == "" && talk.system == "":
		x.say("no system message is set; the model's chat format may bring its own")
		return nil
	case text == "":
		x.say("system message: %s", talk.system)
		return nil
	case text == "default":
		talk.setSystem("")
		x.say("system message: the chat format's own, from the next turn on")
		return nil
	}
	talk.setSystem(text)
	x.say("system message: %s", text)
	if n := len(talk.turns); n > 0 {
		x.greyLine(fmt.Sprintf("it counts from the next turn on, before the %s so far; %%reset forgets those", plural(n, "turn")))
	}
	return nil
}

func (x *execution) magicReset(string) error {
	n := len(x.front.talk.turns)
	x.front.talk.forget()
	x.say("forgot %s; system message, settings and model stay", plural(n, "turn"))
	return nil
}

func (x *execution) magicComplete(text string) error {
	if text == "" {
		return userError{"RequestError", "%complete needs a text to continue", "%complete Once upon a time"}
	}
	a := newAnswer(x)
	defer a.live.close()
	if err := x.withModel(func(m *openModel) error { return x.complete(m, a, text) }); err != nil {
		return err
	}
	return a.finish(x)
}

func (x *execution) magicTokens(text string) error {
	if text == "" {
		return x.conversationLength()
	}
	var ids []int32
	var pieces []string
	err := x.withModel(func(m *openModel) error {
		var err error
		if ids, err = m.Tokenize(x.ctx, rpc.TokenizeParams{Model: m.Info().Model, Text: text}); err != nil {
			return err
		}
		r, err := m.Detokenize(x.ctx, rpc.DetokenizeParams{Model: m.Info().Model, IDs: ids, Each: true})
		pieces = r.Pieces
		return err
	})
	if err != nil {
		return err
	}
	if len(pieces) != len(ids) {
		return fmt.Errorf("kernel: %d ids have %d pieces", len(ids), len(pieces))
	}
	data := tokenTable(ids, pieces)
	x.text.WriteString(data["text/plain"].(string))
	x.out.Result(data, nil)
	return nil
}

// conversationLength says how full the context is.
func (x *execution) conversationLength() error {
	return x.withModel(func(m *openModel) error {
		talk := &x.front.talk
		s, err := m.chatSession(x.ctx, x.front.settingsNow().maxSeqLen)
		if err != nil {
			return err
		}
		ids, err := talk.encode(x.ctx, m)
		if err != nil {
			return err
		}
		n := len(ids)
		if k := len(talk.turns); k > 0 {
			n += len(talk.turns[k-1].ids)
		}
		x.say("the conversation has %s in %s; the context holds %d", plural(n, "token"), plural(len(talk.turns), "turn"), s.Info().MaxSeqLen)
		return nil
	})
}

// tokenTable shows ids with their pieces, as text and as HTML.
func tokenTable(ids []int32, pieces []string) map[string]any {
	var plain, rich strings.Builder
	plain.WriteString(plural(len(ids), "token"))
	rich.WriteString(`<div style="line-height:2.2">`)
	for i, id := range ids {
		fmt.Fprintf(&plain, "\n%7d  %q", id, pieces[i])
		shown := strings.NewReplacer(" ", "␣", "\n", "⏎").Replace(pieces[i])
		fmt.Fprintf(&rich, `<span title="%d" style="background:%s;padding:2px 4px;margin-right:2px;border-radius:3px;color:#222">%s <sub style="color:#666">%d</sub></span>`,
			id, [2]string{"#dcebf7", "#fbe9d0"}[i%2], html.EscapeString(shown), id)
	}
	rich.WriteString("</div>")
	return map[string]any{"text/plain": plain.String(), "text/html": rich.String()}
}

func (x *execution) magicInfo(string) error {
	return x.withModel(func(m *openModel) error {
		data := x.card(m)
		x.text.WriteString(data["text/plain"].(string))
		x.out.Display(data, nil, "")
		return nil
	})
}

// card describes the open model and what it takes.
func (x *execution) card(m *openModel) map[string]any {
	open := m.Info()
	c, info, tok := open.Config, open.Info, open.Info.Tokenizer
	name := info.Name
	if name == "" {
		name = m.name
	}
	rows := [][2]string{
		{"parameters", count(info.Parameters)},
		{"shape", fmt.Sprintf("%d layers, hidden %d, FFN %d", c.NumHiddenLayers, c.HiddenSize, c.IntermediateSize)},
		{"heads", fmt.Sprintf("%d queries, %d keys and values, of %d", c.NumAttentionHeads, c.NumKeyValueHeads, c.HeadDim)},
		{"vocabulary", fmt.Sprintf("%d, %s, chat format %s", c.VocabSize, tok.Kind, orNone(tok.ChatFormat))},
		{"stored as", info.DType + " in " + info.Format + quantizedTo(info)},
		{"computed in", fmt.Sprintf("%s mode by %s", info.Precision, info.Backend)},
		{"file", shortPath(info.Path)},
		{"weights", units.Bytes(info.Bytes)},
		{"context", fmt.Sprintf("%d tokens, the model's limit", info.MaxSeqLen)},
	}
	if s := m.chat; s != nil {
		rows = append(rows, [2]string{"conversation", fmt.Sprintf("%s, up to %d tokens", plural(len(x.front.talk.turns), "turn"), s.Info().MaxSeqLen)})
	}
	if st, err := x.front.host.Stats(x.ctx); err == nil {
		rows = append(rows, [2]string{"memory", fmt.Sprintf("%s of the engine's process, %s of it keys and values", units.Bytes(st.RSSBytes), units.Bytes(st.KVBytes))})
	}
	if ps, err := x.front.host.PS(x.ctx); err == nil {
		rows = append(rows, [2]string{"engine", fmt.Sprintf("process %d, %s attached", ps.Server.PID, plural(len(ps.Clients), "client"))})
	}
	return table(name, rows)
}

func (x *execution) magicStop(string) error {
	f := x.front
	f.mu.Lock()
	stopped := f.stopped > 0
	f.stopped = 0
	f.mu.Unlock()
	if stopped { // Stops has done it when this cell came in
		x.greyLine("stopped")
	} else {
		x.warn("nothing is being written")
	}
	return nil
}

func (x *execution) magicClear(string) error {
	x.out.Clear(false)
	return nil
}

func (x *execution) magicHelp(text string) error {
	page := overview()
	if text != "" {
		name := strings.TrimLeft(text, "%")
		if p, ok := findParam(name); ok {
			page = p.manual()
		} else {
			if err := (call{name: name}).check(); err != nil {
				return err
			}
			m, _ := findMagic(name)
			page = m.manual()
		}
	}
	x.text.WriteString(page)
	x.out.Stream("stdout", page)
	return nil
}

func (x *execution) magicVersion(string) error {
	line := x.front.versionLine()
	x.text.WriteString(line)
	x.out.Result(map[string]any{"text/plain": line}, nil)
	return nil
}

// quantizedTo says what the matrices were converted to, if they were.
func quantizedTo(info rpc.ModelInfo) string {
	if info.Quantize == "" {
		return ""
	}
	return ", quantized to " + info.Quantize
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// count writes a number of parameters: 134.5 M.
func count(n int64) string {
	switch f := float64(n); {
	case f >= 1e9:
		return fmt.Sprintf("%.2f B", f/1e9)
	case f >= 1e6:
		return fmt.Sprintf("%.1f M", f/1e6)
	case f >= 1e3:
		return fmt.Sprintf("%.1f K", f/1e3)
	default:
		return fmt.Sprint(n)
	}
}
