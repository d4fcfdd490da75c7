package rpc

// stats: Empty → StatsResult; ps: Empty → PSResult; shutdown: ShutdownParams → Empty.
const (
	MethodStats    = "stats"
	MethodPS       = "ps"
	MethodShutdown = "shutdown"
)

// StatsResult are counters since the start of the resident.
type StatsResult struct {
	UptimeSeconds   float64 `json:"uptime_seconds"`
	PromptTokens    int64   `json:"prompt_tokens"`
	GeneratedTokens int64   `json:"generated_tokens"`
	ActiveRequests  int     `json:"active_requests"`
	RSSBytes        int64   `json:"rss_bytes"`
	KVBytes         int64   `json:"kv_bytes"`
	ResultBytes     int64   `json:"result_bytes"`
}

// PSResult is what `llama-go ps` shows of one resident.
type PSResult struct {
	Server        ServerInfo `json:"server"`
	UptimeSeconds float64    `json:"uptime_seconds"`
	IdleSeconds   float64    `json:"idle_seconds"`       // since the last request ended
	IdleLimit     float64    `json:"idle_limit_seconds"` // 0: never exits
	RSSBytes      int64      `json:"rss_bytes"`
	Models        []PSModel  `json:"models"`
	Clients       []PSClient `json:"clients"`
}

// PSModel is one loaded model.
type PSModel struct {
	Name      string `json:"name"`
	Path      string `json:"path"`
	DType     string `json:"dtype"`
	Quantize  string `json:"quantize"` // as ModelInfo
	Precision string `json:"precision"`
	Bytes     int64  `json:"bytes"`
	KVBytes   int64  `json:"kv_bytes"`
	Clients   int    `json:"clients"` // how many clients hold a handle
	Sessions  int    `json:"sessions"`
	Active    int    `json:"active"` // requests running or waiting
	Private   bool   `json:"private"`
}

// PSClient is one client.
type PSClient struct {
	ClientInfo
	Connected bool     `json:"connected"`
	Models    []string `json:"models"` // names
	Requests  int      `json:"requests"`
}

// ShutdownParams ends the resident; refused while other clients are attached,
// unless forced.
type ShutdownParams struct {
	Force bool `json:"force"`
}
