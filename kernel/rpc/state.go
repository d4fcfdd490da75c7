package rpc

// Loading and reading weights. state.begin: ModelRef → BeginResult; state.put:
// PutParams and one buffer → Empty; state.commit: CommitParams → CommitResult;
// state.abort: UploadRef → Empty; state.list: ModelRef → ListResult;
// state.read: ReadParams → ReadResult and one buffer.
const (
	MethodStateBegin  = "state.begin"
	MethodStatePut    = "state.put"
	MethodStateCommit = "state.commit"
	MethodStateAbort  = "state.abort"
	MethodStateList   = "state.list"
	MethodStateRead   = "state.read"
)

// UploadRef names an upload.
type UploadRef struct {
	Upload string `json:"upload"`
}

// BeginResult is a new upload.
type BeginResult struct {
	Upload string `json:"upload"`
}

// PutParams is a piece of one tensor: Data describes the piece's buffer, Shape
// is the whole tensor's, Offset the piece's first byte within it.
type PutParams struct {
	Upload string `json:"upload"`
	Key    string `json:"key"`
	DType  string `json:"dtype"`
	Shape  []int  `json:"shape"`
	Offset int64  `json:"offset"`
	Data   Tensor `json:"data"`
}

// CommitParams ends an upload. All is checked before anything changes.
type CommitParams struct {
	Upload string `json:"upload"`
	Strict bool   `json:"strict"`
	Assign bool   `json:"assign"`
}

// CommitResult names keys in the upload's own naming.
type CommitResult struct {
	Missing    []string `json:"missing"`
	Unexpected []string `json:"unexpected"`
}

// StateEntry is one parameter.
type StateEntry struct {
	Key   string `json:"key"` // Hugging Face's name
	DType string `json:"dtype"`
	Shape []int  `json:"shape"`
}

// ListResult lists a model's parameters in file order.
type ListResult struct {
	Entries []StateEntry `json:"entries"`
	QKOrder string       `json:"qk_order"` // "halves" (Hugging Face) or "interleaved" (Meta)
}

// ReadParams reads a piece of a parameter as it is stored.
type ReadParams struct {
	Model  string `json:"model"`
	Key    string `json:"key"`
	Offset int64  `json:"offset"`
	Bytes  int64  `json:"bytes"`
}

// ReadResult describes the buffer.
type ReadResult struct {
	Data Tensor `json:"data"` // dtype uint8, shape (bytes,)
}
