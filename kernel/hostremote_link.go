package kernel

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/llama-go/llama-go/internal/safe"
	"github.com/llama-go/llama-go/kernel/rpc"
	"github.com/llama-go/llama-go/messaging"
)

// Times of a link.
const (
	openTime   = 5 * time.Second        // from comm_open to $/hello
	resumeTime = 3 * time.Second        // to be connected again after a cut
	redialWait = 100 * time.Millisecond // between tries
)

// link is one client's comm with a resident, over connections that may be cut
// and made again.
type link struct {
	rec     record
	commID  string
	session string
	rpc     *rpc.Client
	gone    chan struct{} // closed once the resident is lost

	mu     sync.Mutex
	conn   *messaging.Client
	closed bool
	orphan bool // the resident lives and does not know the comm any more
	reader sync.WaitGroup
}

// clientConn sends the messages of one comm.
type clientConn struct {
	c      *messaging.Client
	commID string
}

type commContent struct {
	CommID     string `json:"comm_id"`
	TargetName string `json:"target_name,omitempty"`
	Data       any    `json:"data"`
}

func (k clientConn) Send(control bool, data any, buffers [][]byte) error {
	ch := messaging.Shell
	if control {
		ch = messaging.Control
	}
	_, err := k.c.Send(ch, "comm_msg", commContent{CommID: k.commID, Data: data}, nil, buffers...)
	return err
}

// dialLink connects to the resident of a connection file and opens a comm.
func dialLink(ctx context.Context, connFile string, who rpc.ClientInfo) (*link, error) {
	rec, err := readRecord(connFile)
	if err != nil {
		return nil, rpc.Gone(err.Error())
	}
	if !rec.Resident.alive() {
		return nil, rpc.Gone(fmt.Sprintf("pid %d, which %s names, has ended", rec.Resident.PID, connFile))
	}
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	l := &link{rec: rec, commID: uuid.NewString(), session: uuid.NewString(), gone: make(chan struct{})}
	l.conn, err = l.dial(ctx)
	if err != nil {
		return nil, rpc.Gone(err.Error())
	}
	l.rpc = rpc.NewClient(clientConn{l.conn, l.commID})
	if err := l.open(ctx, who); err != nil {
		_ = l.conn.Close() // the error that matters is err
		return nil, err
	}
	l.reader.Add(1)
	safe.Go("resident's messages", l.read)
	return l, nil
}

// dial makes the connections, always with the same session: a comm belongs to
// it.
func (l *link) dial(ctx context.Context) (*messaging.Client, error) {
	c, err := messaging.Dial(ctx, l.rec.ConnInfo, messaging.ClientOptions{Session: l.session})
	if err != nil {
		return nil, err
	}
	if err := c.Subscribe(ctx, "comm-"+l.commID); err != nil {
		_ = c.Close() // the error that matters is err
		return nil, err
	}
	return c, nil
}

// open sends comm_open and waits for $/hello.
func (l *link) open(ctx context.Context, who rpc.ClientInfo) error {
	data := rpc.Open{Protocol: rpc.ProtocolVersion, Client: who}
	if _, err := l.conn.Send(messaging.Shell, "comm_open", commContent{l.commID, rpc.Target, data}, nil); err != nil {
		return rpc.Gone(err.Error())
	}
	for {
		select {
		case <-ctx.Done():
			return rpc.Gone("no answer to comm_open: " + ctx.Err().Error())
		case in, ok := <-l.conn.Messages():
			if !ok {
				return rpc.Gone("the connection broke while it was opened")
			}
			m, closed := l.ours(in)
			if closed {
				return rpc.Gone("the resident closed the comm: is it of another version? (llama-go stop --all)")
			}
			if m == nil {
				continue
			}
			var msg rpc.Message
			if json.Unmarshal(m.Data, &msg) != nil {
				continue
			}
			switch msg.Method {
			case rpc.MethodHello:
				return nil
			case rpc.MethodRefused:
				e := &rpc.Error{}
				if err := json.Unmarshal(msg.Params, e); err != nil {
					return rpc.Gone("the resident refused the comm")
				}
				return e
			}
		}
	}
}

// ours returns the content of a comm_msg of this link's comm, and whether the
// message closed it.
func (l *link) ours(in messaging.Incoming) (m *rpc.Incoming, closed bool) {
	if in.Channel != messaging.IOPub {
		return nil, false
	}
	t := in.Msg.Header.MsgType
	if t != "comm_msg" && t != "comm_close" {
		return nil, false
	}
	var c struct {
		CommID string          `json:"comm_id"`
		Data   json.RawMessage `json:"data"`
	}
	if json.Unmarshal(in.Msg.Content, &c) != nil || c.CommID != l.commID {
		return nil, false
	}
	return &rpc.Incoming{Data: c.Data, Buffers: in.Msg.Buffers}, t == "comm_close"
}

// read delivers messages until the link is closed or the resident lost.
func (l *link) read() {
	defer l.reader.Done()
	why := "its process has ended"
	for {
		closed := l.drain()
		if closed {
			why = "it ended this client's lease"
			break
		}
		if !l.resume() {
			if l.isOrphan() {
				why = "it ended this client's lease"
			}
			break
		}
	}
	close(l.gone)
	l.rpc.Fail(rpc.Gone(why))
}

// drain reads one connection to its end; true when the resident closed the comm.
func (l *link) drain() bool {
	for in := range l.current().Messages() {
		m, closed := l.ours(in)
		if closed {
			return true
		}
		if m != nil {
			l.rpc.Receive(m.Data, m.Buffers)
		}
	}
	return false
}

func (l *link) current() *messaging.Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn
}

// resume connects again after a cut, as long as the process lives, and asks for
// the answers of the open requests.
func (l *link) resume() bool {
	ctx, cancel := context.WithTimeout(context.Background(), resumeTime)
	defer cancel()
	for {
		l.mu.Lock()
		closed := l.closed || l.orphan
		l.mu.Unlock()
		if closed || !l.rec.Resident.alive() || ctx.Err() != nil {
			return false
		}
		c, err := l.dial(ctx)
		if err != nil {
			time.Sleep(redialWait)
			continue
		}
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			_ = c.Close() // nobody wants it any more
			return false
		}
		l.conn = c
		l.mu.Unlock()
		if l.rpc.Resume(clientConn{c, l.commID}) == nil {
			l.reader.Add(1)
			safe.Go("resident's lease", func() { l.verify(c) })
			return true
		}
	}
}

// verify finds out whether the resident still knows the comm: it ignores
// messages of one whose lease has ended.
func (l *link) verify(c *messaging.Client) {
	defer l.reader.Done()
	ctx, cancel := context.WithTimeout(context.Background(), resumeTime)
	defer cancel()
	if _, err := l.rpc.Call(ctx, rpc.MethodStats, rpc.Empty{}, nil, rpc.CallOptions{Grace: redialWait}); err == nil || ctx.Err() == nil {
		return
	}
	l.mu.Lock()
	l.orphan = l.conn == c
	l.mu.Unlock()
	_ = c.Close() // ends the read loop
}

func (l *link) isOrphan() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.orphan
}

// close closes the comm, so that the resident frees what it held for it.
func (l *link) close() {
	l.mu.Lock()
	l.closed = true
	conn := l.conn
	l.mu.Unlock()
	_, _ = conn.Send(messaging.Shell, "comm_close", commContent{CommID: l.commID, Data: struct{}{}}, nil) // the lease does it otherwise
	_ = conn.Close()                                                                                      // it is gone either way
	l.reader.Wait()
}

// lost reports whether the resident is gone.
func (l *link) lost() bool {
	select {
	case <-l.gone:
		return true
	default:
		return false
	}
}
