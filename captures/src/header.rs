//! What a capture says about itself, and how a writer is set up.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::limits;
use crate::wire::{Cursor, Malformed, put_varint};

/// What stands at the head of a capture. Mostly written as JSON, so that other languages read it easily and
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

    /// The same for a file that is written now, whichever version it was read from.
    pub(crate) fn of_this_version(self) -> FileHeader {
        FileHeader { version: limits::FORMAT_VERSION, ..self }
    }

    /// As it stands in the file: version and clocks, then JSON of what is not as it is by default.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for number in [self.version.into(), self.created_us, self.monotonic_us] {
            put_varint(&mut out, number);
        }
        let clocks = FileHeader {
            version: self.version,
            created_us: self.created_us,
            monotonic_us: self.monotonic_us,
            ..FileHeader::default()
        };
        if *self != clocks {
            let (Value::Object(mut said), default) = (self.to_value(), clocks.to_value()) else { return out };
            said.retain(|field, value| default.get(field) != Some(value));
            out.extend(Value::Object(said).to_string().bytes());
        }
        out
    }

    /// # Errors
    /// When the bytes are not those of a header. Of one of a later version only the version is read.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<FileHeader, Malformed> {
        if bytes.first() == Some(&b'{') {
            // version 1
            return from_json(bytes);
        }
        let mut cursor = Cursor::new(bytes);
        let version = u16::try_from(cursor.varint()?).unwrap_or(u16::MAX);
        if limits::FORMAT_VERSION < version {
            return Ok(FileHeader { version, ..FileHeader::default() });
        }
        let (created_us, monotonic_us) = (cursor.varint()?, cursor.varint()?);
        let rest = match cursor.remaining() {
            0 => FileHeader::default(),
            n => from_json(cursor.take(n)?)?,
        };
        Ok(FileHeader { version, created_us, monotonic_us, ..rest })
    }

    fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("a struct of numbers and texts is always JSON")
    }
}

fn from_json(json: &[u8]) -> Result<FileHeader, Malformed> {
    serde_json::from_slice(json).map_err(|_| Malformed("the file header is not the JSON it should be"))
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
    /// zstd level, 1 to 22. Blocks of less than 16 KiB are compressed at level 19 all the same.
    pub level: i32,
    /// `fdatasync` after this many blocks; 0 for only at the end.
    pub sync_blocks: u32,
    /// Blocks of at most [`limits::MAX_MIXED`] bytes before compression are coded by context mixing: a fifth smaller, for
    /// two microseconds for each of these bytes, whenever they are read too.
    pub mix_small: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { block_bytes: 1 << 20, block_age_us: 1_000_000, level: 3, sync_blocks: 0, mix_small: false }
    }
}

impl Options {
    /// For imports: larger blocks, closed by size alone; small ones as small as can be.
    pub fn for_import() -> Options {
        Options { block_bytes: 4 << 20, block_age_us: u64::MAX, mix_small: true, ..Options::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_there_and_back_and_what_is_as_by_default_takes_nothing() {
        let edge = EdgeInfo { name: "a".to_owned(), ..EdgeInfo::default() };
        let full = FileHeader {
            monotonic_us: u64::MAX,
            key_id: Some("0123".to_owned()),
            generated_ids: true,
            edges: vec![edge],
            ..FileHeader::new("proxy", 1_700_000_000_000_000)
        };
        for header in [full, FileHeader::new("import har", 7), FileHeader::default()] {
            assert_eq!(FileHeader::from_bytes(&header.to_bytes()), Ok(header));
        }
        assert_eq!(FileHeader::default().to_bytes(), [limits::FORMAT_VERSION as u8, 0, 0]);
        let later = [limits::FORMAT_VERSION as u8 + 1, b'?'];
        assert_eq!(
            FileHeader::from_bytes(&later).map(|header| header.version),
            Ok(limits::FORMAT_VERSION + 1)
        );
        assert_eq!(
            FileHeader::from_bytes(br#"{"version":1,"source":"old"}"#).map(|header| header.version),
            Ok(1)
        );
        assert!(FileHeader::from_bytes(&[]).is_err() && FileHeader::from_bytes(&[1, 0, 0, b'x']).is_err());
    }
}
