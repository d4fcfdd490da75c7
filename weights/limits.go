package weights

// Limits on what a file may ask for. Each bounds memory or work before the
// content is believed.
const (
	maxConfigBytes    = 16 << 20    // config.json, params.json, generation_config.json, tokenizer_config.json
	maxIndexBytes     = 32 << 20    // *.index.json
	maxTokenizerBytes = 128 << 20   // tokenizer.json, tokenizer.model
	maxTemplateBytes  = 1 << 20     // a chat template
	maxHeaderBytes    = 100_000_000 // safetensors header, as in its format's own reader
	maxTensors        = 200_000     // tensors of one file, or of all shards
	maxShards         = 4096
	maxRank           = 8 // safetensors
	maxNameBytes      = 1024

	maxJSONDepth = 64      // nesting of any JSON file
	maxJSONNodes = 1 << 17 // values that a config keeps
	maxMetadata  = 1 << 16 // entries of a safetensors __metadata__

	maxGGUFRank     = 4
	maxGGUFKeys     = 1 << 16
	maxGGUFKeyBytes = 1<<16 - 1
	maxAlignment    = 1 << 16
	maxVocab        = 1 << 20  // tokens of a vocabulary
	maxMerges       = 1 << 22  // merges of a vocabulary
	maxTokenBytes   = 4 << 10  // one token
	maxVocabBytes   = 64 << 20 // all tokens, or all merges
	maxFolderFiles  = 100_000  // entries of a model's folder
)

// Ranges of a config's fields. They keep the byte count of every tensor and of
// the KV cache of one full row below 2^63: 2 (K, V) · 4 bytes · maxLayers ·
// maxHidden · maxPositions = 2^61.
const (
	maxHidden    = 1 << 18 // also for heads × head_dim
	maxFFN       = 1 << 20
	maxLayers    = 1 << 10
	maxHeads     = 1 << 12
	maxHeadDim   = 1 << 12
	maxModelVoc  = 1 << 22 // rows of the embedding, padding included
	maxEOS       = 64
	maxPositions = 1 << 30
	maxRopeTheta = 1e12
	maxFactor    = 1e6
)
