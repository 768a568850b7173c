//! What a capture says about itself, and how a writer is set up.

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::wire::Malformed;

/// What stands at the head of a capture. Written as JSON, so that other languages read it easily and
/// later versions can add fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileHeader {
    /// Version of the format, [`limits::FORMAT_VERSION`].
    pub version: u16,
    /// Wall clock when the capture began: microseconds since 1970-01-01 UTC.
    pub created_us: u64,
    /// Monotonic clock at that same moment, in microseconds of the writing process; 0 for imports.
    pub monotonic_us: u64,
    /// Name of the redaction policy; `none` when nothing was redacted.
    pub redaction: String,
    /// A short hash of the redaction key: tells whether two captures share pseudonyms. Never the key.
    pub key_id: Option<String>,
    /// Whether identifiers were left out, so that whoever reads it makes up others of their kind.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub generated_ids: bool,
    /// The edges that recorded, the first edge first.
    pub edges: Vec<EdgeInfo>,
    /// What wrote it: `proxy`, `import har`, …
    pub source: String,
}

impl FileHeader {
    /// A header for `source`, begun at `created_us`, without edges and without redaction.
    pub fn new(source: &str, created_us: u64) -> FileHeader {
        FileHeader { created_us, source: source.to_owned(), ..FileHeader::default() }
    }

    /// As it stands in the file.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a struct of numbers and texts is always JSON")
    }

    pub(crate) fn from_json(json: &[u8]) -> Result<FileHeader, Malformed> {
        serde_json::from_slice(json).map_err(|_| Malformed("the file header is not the JSON it should be"))
    }
}

impl Default for FileHeader {
    fn default() -> FileHeader {
        FileHeader {
            version: limits::FORMAT_VERSION,
            created_us: 0,
            monotonic_us: 0,
            redaction: "none".to_owned(),
            key_id: None,
            generated_ids: false,
            edges: Vec::new(),
            source: String::new(),
        }
    }
}

/// One edge of the proxy that recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EdgeInfo {
    /// Its name.
    pub name: String,
    /// Where it listened, as a URL: `http://127.0.0.1:8080`.
    pub listen_url: String,
    /// The proxy's admin listener, as a URL.
    pub admin_url: Option<String>,
}

/// How a [`crate::Writer`] closes its blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// A block closes when it holds this many bytes before compression. At most [`limits::MAX_BLOCK_BYTES`].
    pub block_bytes: usize,
    /// A block closes when its first exchange was pushed this many microseconds ago: the loss window.
    pub block_age_us: u64,
    /// zstd level, 1 to 22.
    pub level: i32,
    /// `fdatasync` after this many blocks; 0 for only at the end.
    pub sync_blocks: u32,
}

impl Default for Options {
    fn default() -> Options {
        Options { block_bytes: 1 << 20, block_age_us: 1_000_000, level: 3, sync_blocks: 0 }
    }
}

impl Options {
    /// For imports: larger blocks, closed by size alone.
    pub fn for_import() -> Options {
        Options { block_bytes: 4 << 20, block_age_us: u64::MAX, ..Options::default() }
    }
}
