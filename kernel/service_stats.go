package kernel

import (
	"slices"
	"strings"
	"time"

	"github.com/llama-go/llama-go/kernel/rpc"
)

// stats is stats.
func (s *service) stats() rpc.StatsResult {
	r := rpc.StatsResult{
		UptimeSeconds: time.Since(s.start).Seconds(),
		PromptTokens:  s.promptTokens.Load(), GeneratedTokens: s.generatedTokens.Load(),
		ActiveRequests: s.active.get(), RSSBytes: rssBytes(), ResultBytes: s.resultBytes.Load(),
	}
	for _, m := range s.psModels() {
		r.KVBytes += m.KVBytes
	}
	return r
}

// ps is ps.
func (s *service) ps() rpc.PSResult {
	r := rpc.PSResult{
		Server: s.info, UptimeSeconds: time.Since(s.start).Seconds(), IdleSeconds: s.idleFor().Seconds(),
		IdleLimit: s.idle.Seconds(), RSSBytes: rssBytes(), Models: notNil(s.psModels()), Clients: []rpc.PSClient{},
	}
	for _, c := range s.allClients() {
		if c.inside && len(c.allModels()) == 0 {
			continue
		}
		pc := rpc.PSClient{ClientInfo: c.info, Connected: c.connected(), Models: []string{}, Requests: c.requests()}
		for _, m := range c.allModels() {
			pc.Models = append(pc.Models, m.info.Name)
		}
		slices.Sort(pc.Models)
		r.Clients = append(r.Clients, pc)
	}
	slices.SortFunc(r.Clients, func(a, b rpc.PSClient) int { return a.PID - b.PID })
	return r
}

func (s *service) allClients() []*client {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*client, 0, len(s.clients))
	for c := range s.clients {
		all = append(all, c)
	}
	return all
}

func (c *client) allModels() []*model {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*model, 0, len(c.models))
	for _, m := range c.models {
		all = append(all, m)
	}
	return all
}

// psModels lists shared models, whether somebody holds them or not, and private
// ones.
func (s *service) psModels() []rpc.PSModel {
	type use struct{ clients, sessions int }
	shared := map[*sharedModel]*use{}
	var list []rpc.PSModel
	for _, sm := range s.reg.models() {
		shared[sm] = &use{}
	}
	for _, c := range s.allClients() {
		held := map[*sharedModel]bool{}
		for _, m := range c.allModels() {
			sessions := c.sessionsOf(m)
			m.mu.Lock()
			in, sm := m.inst, m.shared
			m.mu.Unlock()
			switch {
			case in == nil:
			case sm != nil && shared[sm] != nil:
				shared[sm].sessions += sessions
				if !held[sm] {
					held[sm] = true
					shared[sm].clients++
				}
			default:
				list = append(list, psModel(m.info, in, 1, sessions))
			}
		}
	}
	for sm, u := range shared {
		list = append(list, psModel(sm.info, sm.inst, u.clients, u.sessions))
	}
	slices.SortFunc(list, func(a, b rpc.PSModel) int { return strings.Compare(a.Name+a.Path, b.Name+b.Path) })
	return list
}

func (c *client) sessionsOf(m *model) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, s := range c.sessions {
		if s.model == m {
			n++
		}
	}
	return n
}

func psModel(info rpc.ModelInfo, in *instance, clients, sessions int) rpc.PSModel {
	m := rpc.PSModel{
		Name: info.Name, Path: info.Path, DType: info.DType, Quantize: info.Quantize, Precision: info.Precision, Bytes: info.Bytes,
		Clients: clients, Sessions: sessions, Active: in.active.get(), Private: in.private,
	}
	if eng := in.loadedEngine(); eng != nil {
		m.KVBytes = eng.KVBytes()
	} else if in.private {
		m.Bytes = 0 // not made yet
	}
	return m
}

// askShutdown is shutdown.
func (c *client) askShutdown(p rpc.ShutdownParams) error {
	if c.svc.stop == nil {
		return requestError("", "this engine has no process of its own to shut down")
	}
	n := 0
	for _, other := range c.svc.allClients() {
		// One whose connections are gone has only its lease left.
		if other != c && !other.inside && other.connected() {
			n++
		}
	}
	if n > 0 && !p.Force {
		return kindError(rpc.KindBusy, "close them (llama-go ps lists them), or pass force=True (llama-go stop --force)",
			"other clients are attached to the resident: %d", n)
	}
	c.svc.stop()
	return nil
}
