//! How a gRPC call ends: `grpc_status` and `grpc_message` of a `respond`.

use std::sync::Arc;

use super::codes;
use super::findings::{Findings, help};
use super::table::Fields;
use crate::action::{GrpcStatus, Respond};

/// `grpc_status` and `grpc_message`; `None` where they are there and wrong.
pub(super) fn status(fields: &mut Fields<'_>, findings: &mut Findings<'_>) -> Option<Option<GrpcStatus>> {
    let message = fields.get("grpc_message");
    let code = fields.get("grpc_status");
    match (code, message) {
        (None, None) => Some(None),
        (None, Some(message)) => {
            let what = help("a message without a status", "add `grpc_status = \"UNAVAILABLE\"`");
            findings.error("E28", message.key, what)
        }
        (Some(code), message) => {
            let code = codes::grpc(&code, findings);
            let message = match message {
                Some(field) => percent_encoded(field.text("try again later", findings)?.str()),
                None => String::new(),
            };
            Some(Some(GrpcStatus { code: code?, message }))
        }
    }
}

/// The answer that carries it.
pub(super) fn answer(mut headers: Vec<(String, String)>, grpc: GrpcStatus) -> Respond {
    if !headers.iter().any(|(name, _)| name == "content-type") {
        headers.push(("content-type".to_owned(), "application/grpc".to_owned()));
    }
    Respond { status: 200, headers, body: Arc::from([]), grpc: Some(grpc) }
}

/// As the gRPC protocol wants a message: what is no printable ASCII, and the percent sign, by its bytes.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
