package kernel

import (
	"fmt"
	"strings"
)

// magic is one %name.
type magic struct {
	name    string
	args    string // usage behind the name
	summary string // one line
	doc     string // paragraphs, for %name? and inspection
	body    bool   // may be written %%name, with the rest of the cell as text
	run     func(x *execution, text string) error
}

// magics is the registry, in the order in which %help lists them. It is filled
// by init because help itself reads it.
var magics []magic

func init() {
	magics = []magic{
		{"model", "[NAME|PATH]", "Use another model.",
			"A known name (smollm2), a folder or checkpoint file, or org/name from the Hugging Face cache. A known model that is not here yet is pulled. The conversation goes on with the new model; %reset starts afresh. Without argument: what is in use and what is there.",
			false, (*execution).magicModel},
		{"set", "[NAME=VALUE …]", "Change settings; alone, show them all.",
			"For example %set temperature=0 max_gen_len=100. They count from the next answer on. The value default takes a setting back. %set NAME shows one.",
			false, (*execution).magicSet},
		{"system", "[TEXT]", "Set the system message; alone, show it.",
			"It stands before the conversation and counts from the next turn on, for turns already made too: the prompt is then computed anew, once. %system default removes it; the model's chat format may have one of its own. %%system takes the rest of the cell.",
			true, (*execution).magicSystem},
		{"reset", "", "Forget the conversation.",
			"The next cell starts a new conversation. System message, settings and model stay.",
			false, (*execution).magicReset},
		{"complete", "TEXT", "Continue raw text.",
			"The text goes to the model as it is, without chat format, and outside the conversation. %%complete takes the rest of the cell.",
			true, (*execution).magicComplete},
		{"tokens", "TEXT", "Show the token ids of a text, and their pieces.",
			"Text like <|im_end|> is ordinary text here, as it is in a prompt. %%tokens takes the rest of the cell. Without text: how many tokens the conversation has.",
			true, (*execution).magicTokens},
		{"info", "", "Show the model: sizes, type, file, memory, context, backend.",
			"Opens the model when none is open yet.",
			false, (*execution).magicInfo},
		{"stop", "", "Stop the answer that is being written.",
			"For front ends that cannot interrupt, such as jupyter console --existing, which leaves alone what it did not start. The text so far stays, in the cell and in the conversation.",
			false, (*execution).magicStop},
		{"clear", "", "Clear what the front end shows of this cell.",
			"What the cell prints after this line stands alone. The conversation stays as it is.",
			false, (*execution).magicClear},
		{"help", "[NAME]", "Show this list, or one magic.",
			"%NAME? shows a magic's help in the pager, ? this list.",
			false, (*execution).magicHelp},
		{"version", "", "Show the version.", "", false, (*execution).magicVersion},
	}
}

func findMagic(name string) (magic, bool) {
	for _, m := range magics {
		if m.name == name {
			return m, true
		}
	}
	return magic{}, false
}

func magicNames() []string {
	var names []string
	for _, m := range magics {
		names = append(names, m.name)
	}
	return names
}

// check says whether the call can run at all.
func (c call) check() error {
	m, ok := findMagic(c.name)
	if !ok {
		return userError{"UnknownMagicError", fmt.Sprintf("no magic is called %%%s", c.name),
			didYouMean("%", c.name, magicNames()) + "there are %" + strings.Join(magicNames(), ", %") +
				`; a prompt that begins with a percent sign is written \%` + c.name}
	}
	if c.body && !m.body {
		return userError{"UnknownMagicError", fmt.Sprintf("%%%%%s takes no text from below", c.name), "write %" + c.name}
	}
	return nil
}

// magic runs one call.
func (x *execution) magic(c call) error {
	m, _ := findMagic(c.name)
	if c.help {
		text := overview()
		if c.name != "help" {
			text = m.manual()
		}
		x.payload = append(x.payload, map[string]any{"source": "page", "data": map[string]any{"text/plain": text}, "start": 0})
		return nil
	}
	if m.args == "" && c.text != "" {
		return userError{"RequestError", fmt.Sprintf("%%%s takes no argument, found %q", c.name, c.text), "write %" + c.name + " alone on its line"}
	}
	return m.run(x, c.text)
}

// usage is the line that shows how a magic is written.
func (m magic) usage() string { return strings.TrimSpace("%" + m.name + " " + m.args) }

// manual is all that is known of a magic, as plain text.
func (m magic) manual() string {
	s := m.usage() + "\n\n" + m.summary + "\n"
	if m.doc != "" {
		s += "\n" + wrap(m.doc, 78) + "\n"
	}
	if m.name == "set" {
		s += "\n"
		for _, p := range params {
			s += p.manual()
		}
	}
	return s
}

// manual is all that is known of a setting.
func (p param) manual() string {
	first := defaultSettings()
	return fmt.Sprintf("%s: %s; default %s\n%s\n", p.name, p.want, p.get(&first), indent(wrap(p.doc, 74)))
}

// overview is what %help shows.
func overview() string {
	var b strings.Builder
	b.WriteString("A cell is a message to the model, after any magic lines at its top.\n\n")
	for _, m := range magics {
		fmt.Fprintf(&b, "  %-22s %s\n", m.usage(), m.summary)
	}
	b.WriteString("\n  %NAME? or %help NAME tells more of one. A line that ends in \\ goes on below.\n" +
		"  A prompt that begins with a percent sign is written \\%. Running a cell again\n" +
		"  (in a notebook) replaces its turn and drops the later ones.\n")
	return b.String()
}

// wrap breaks text into lines of at most width characters.
func wrap(text string, width int) string {
	var b strings.Builder
	n := 0
	for _, w := range strings.Fields(text) {
		l := len([]rune(w))
		if n > 0 && n+1+l > width {
			b.WriteByte('\n')
			n = 0
		} else if n > 0 {
			b.WriteByte(' ')
			n++
		}
		b.WriteString(w)
		n += l
	}
	return b.String()
}

func indent(text string) string { return "    " + strings.ReplaceAll(text, "\n", "\n    ") }
