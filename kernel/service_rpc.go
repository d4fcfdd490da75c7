package kernel

import (
	"context"

	"github.com/llama-go/llama-go/kernel/rpc"
)

// methods registers everything that a client of the resident may ask for.
func (s *service) methods(srv *rpc.Server[*client]) {
	type ctx = context.Context
	type call = *rpc.Call

	rpc.Handle(srv, rpc.MethodModelOpen, rpc.Options[rpc.OpenParams]{}, func(ctx ctx, c *client, call call, p rpc.OpenParams) (rpc.OpenResult, error) {
		return c.openModel(ctx, p, func(l rpc.LoadProgress) {
			l.ID = call.ID
			call.Progress(l)
		})
	})
	rpc.Handle(srv, rpc.MethodModelNew, rpc.Options[rpc.NewParams]{}, func(_ ctx, c *client, _ call, p rpc.NewParams) (rpc.NewResult, error) {
		return c.newModel(p)
	})
	rpc.Handle(srv, rpc.MethodModelClose, rpc.Options[rpc.ModelRef]{}, func(_ ctx, c *client, _ call, p rpc.ModelRef) (rpc.Empty, error) {
		return rpc.Empty{}, c.closeModel(p)
	})

	s.stateMethods(srv)
	s.sessionMethods(srv)

	rpc.Handle(srv, rpc.MethodTokenize, rpc.Options[rpc.TokenizeParams]{}, func(_ ctx, c *client, _ call, p rpc.TokenizeParams) (rpc.IDs, error) {
		return c.tokenize(p)
	})
	rpc.Handle(srv, rpc.MethodDetokenize, rpc.Options[rpc.DetokenizeParams]{}, func(_ ctx, c *client, _ call, p rpc.DetokenizeParams) (rpc.TextResult, error) {
		return c.detokenize(p)
	})
	rpc.Handle(srv, rpc.MethodChatEncode, rpc.Options[rpc.ChatParams]{}, func(_ ctx, c *client, _ call, p rpc.ChatParams) (rpc.ChatResult, error) {
		return c.encodeDialog(p)
	})
	rpc.Handle(srv, rpc.MethodStats, rpc.Options[rpc.Empty]{}, func(_ ctx, _ *client, _ call, _ rpc.Empty) (rpc.StatsResult, error) {
		return s.stats(), nil
	})
	rpc.Handle(srv, rpc.MethodPS, rpc.Options[rpc.Empty]{}, func(_ ctx, _ *client, _ call, _ rpc.Empty) (rpc.PSResult, error) {
		return s.ps(), nil
	})
	rpc.Handle(srv, rpc.MethodShutdown, rpc.Options[rpc.ShutdownParams]{}, func(_ ctx, c *client, _ call, p rpc.ShutdownParams) (rpc.Empty, error) {
		return rpc.Empty{}, c.askShutdown(p)
	})
}

// stateMethods registers state.*. Requests on one upload run in order, so a
// client need not wait for each put.
func (s *service) stateMethods(srv *rpc.Server[*client]) {
	type ctx = context.Context
	type call = *rpc.Call

	rpc.Handle(srv, rpc.MethodStateBegin, rpc.Options[rpc.ModelRef]{}, func(_ ctx, c *client, _ call, p rpc.ModelRef) (rpc.BeginResult, error) {
		return c.beginState(p)
	})
	rpc.Handle(srv, rpc.MethodStatePut, rpc.Options[rpc.PutParams]{Buffers: 1, Order: func(p *rpc.PutParams) string { return "upload " + p.Upload }},
		func(_ ctx, c *client, call call, p rpc.PutParams) (rpc.Empty, error) {
			return rpc.Empty{}, c.putState(p, call.Buffers)
		})
	rpc.Handle(srv, rpc.MethodStateCommit, rpc.Options[rpc.CommitParams]{Order: func(p *rpc.CommitParams) string { return "upload " + p.Upload }},
		func(_ ctx, c *client, _ call, p rpc.CommitParams) (rpc.CommitResult, error) {
			return c.commitState(p)
		})
	rpc.Handle(srv, rpc.MethodStateAbort, rpc.Options[rpc.UploadRef]{}, func(_ ctx, c *client, _ call, p rpc.UploadRef) (rpc.Empty, error) {
		return rpc.Empty{}, c.abortState(p)
	})
	rpc.Handle(srv, rpc.MethodStateList, rpc.Options[rpc.ModelRef]{}, func(_ ctx, c *client, _ call, p rpc.ModelRef) (rpc.ListResult, error) {
		return c.listState(p)
	})
	rpc.Handle(srv, rpc.MethodStateRead, rpc.Options[rpc.ReadParams]{}, func(_ ctx, c *client, call call, p rpc.ReadParams) (rpc.ReadResult, error) {
		b, err := c.readState(p)
		if err != nil {
			return rpc.ReadResult{}, err
		}
		return rpc.ReadResult{Data: call.Attach("uint8", []int{len(b)}, b)}, nil
	})
}

// sessionMethods registers sessions, forward, results and generate. What uses
// one session runs in the order in which it was asked for, and so do the
// methods on one result: a free never overtakes a read.
func (s *service) sessionMethods(srv *rpc.Server[*client]) {
	type ctx = context.Context
	type call = *rpc.Call

	rpc.Handle(srv, rpc.MethodSessionOpen, rpc.Options[rpc.SessionParams]{}, func(_ ctx, c *client, _ call, p rpc.SessionParams) (rpc.SessionResult, error) {
		return c.openSession(p)
	})
	rpc.Handle(srv, rpc.MethodSessionClose, rpc.Options[rpc.SessionRef]{}, func(_ ctx, c *client, _ call, p rpc.SessionRef) (rpc.Empty, error) {
		return rpc.Empty{}, c.closeSession(p)
	})
	rpc.Handle(srv, rpc.MethodForward, rpc.Options[rpc.ForwardParams]{Order: func(p *rpc.ForwardParams) string { return "session " + p.Session }},
		func(ctx ctx, c *client, _ call, p rpc.ForwardParams) (rpc.ForwardResult, error) {
			return c.forward(ctx, p)
		})
	rpc.Handle(srv, rpc.MethodGenerate, rpc.Options[rpc.GenerateParams]{
		Order:   func(p *rpc.GenerateParams) string { return "session " + p.Session },
		Aborted: func(p *rpc.GenerateParams) any { return interrupted(p) },
	}, func(ctx ctx, c *client, call call, p rpc.GenerateParams) (rpc.GenerateResult, error) {
		return c.generate(ctx, p, func(g rpc.GenerateProgress) {
			g.ID = call.ID
			call.Progress(g)
		})
	})
	rpc.Handle(srv, rpc.MethodResultRead, rpc.Options[rpc.ResultReadParams]{Order: func(p *rpc.ResultReadParams) string { return "result " + p.Result }},
		func(_ ctx, c *client, call call, p rpc.ResultReadParams) (rpc.ResultReadResult, error) {
			b, err := c.readResult(p)
			if err != nil {
				return rpc.ResultReadResult{}, err
			}
			return rpc.ResultReadResult{Data: call.Attach("float32", []int{int(p.Count)}, b)}, nil
		})
	rpc.Handle(srv, rpc.MethodResultReduce, rpc.Options[rpc.ReduceParams]{Order: func(p *rpc.ReduceParams) string { return "result " + p.Result }},
		func(_ ctx, c *client, call call, p rpc.ReduceParams) (rpc.ReduceResult, error) {
			return c.reduceResult(p, call.Attach)
		})
	rpc.Handle(srv, rpc.MethodResultFree, rpc.Options[rpc.ResultRef]{Order: func(p *rpc.ResultRef) string { return "result " + p.Result }},
		func(_ ctx, c *client, _ call, p rpc.ResultRef) (rpc.Empty, error) {
			return rpc.Empty{}, c.freeResult(p)
		})
}
