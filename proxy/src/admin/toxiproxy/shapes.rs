//! Toxiproxy's JSON: what may be said, and what is answered. Stricter than the original: a key that nobody knows or a
//! number that means nothing is refused, since a slip of the pen must not look like resilience.

use http::StatusCode;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value, json};

use crate::admin::Answer;
use crate::admin::replies;

/// A proxy as a client describes it. What is left out stays as it is, or has its default.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProxyIn {
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) listen: Option<String>,
    #[serde(default)]
    pub(super) upstream: Option<String>,
    #[serde(default)]
    pub(super) enabled: Option<bool>,
    /// Clients send back what they were told; toxics have paths of their own.
    #[serde(default, rename = "toxics")]
    _toxics: Option<IgnoredAny>,
}

/// A toxic as a client describes it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToxicIn {
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default, rename = "type")]
    pub(super) kind: Option<String>,
    #[serde(default)]
    pub(super) stream: Option<String>,
    #[serde(default)]
    pub(super) toxicity: Option<f64>,
    #[serde(default)]
    pub(super) attributes: Option<Map<String, Value>>,
}

/// A proxy as it is told.
#[derive(Debug, Clone)]
pub(super) struct ProxyOut {
    pub(super) name: String,
    pub(super) listen: String,
    pub(super) upstream: String,
    pub(super) enabled: bool,
    pub(super) toxics: Vec<Value>,
}

impl ProxyOut {
    pub(super) fn json(&self) -> Value {
        json!({
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "toxics": self.toxics,
        })
    }
}

/// Why not, in the original's words where it has some.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

impl Problem {
    pub(super) fn bad(text: impl Into<String>) -> Self {
        Problem { status: StatusCode::BAD_REQUEST, text: text.into() }
    }

    pub(super) fn missing(field: &str) -> Self {
        Problem::bad(format!("missing required field: {field}"))
    }

    pub(super) fn no_proxy() -> Self {
        Problem { status: StatusCode::NOT_FOUND, text: "proxy not found".to_owned() }
    }

    pub(super) fn no_toxic() -> Self {
        Problem { status: StatusCode::NOT_FOUND, text: "toxic not found".to_owned() }
    }

    pub(super) fn conflict(text: impl Into<String>) -> Self {
        Problem { status: StatusCode::CONFLICT, text: text.into() }
    }

    /// It is there, and not to be changed this way.
    pub(super) fn fixed(text: impl Into<String>) -> Self {
        Problem { status: StatusCode::FORBIDDEN, text: text.into() }
    }

    pub(super) fn failed(text: impl Into<String>) -> Self {
        Problem { status: StatusCode::INTERNAL_SERVER_ERROR, text: text.into() }
    }

    pub(super) fn json(&self) -> Value {
        json!({ "error": self.text, "status": self.status.as_u16() })
    }

    pub(super) fn answer(&self) -> Answer {
        replies::json(self.status, &self.json())
    }
}

pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::bad(format!("bad request body: {error}")))
}
