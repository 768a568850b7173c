//! Names of codes that travel on the wire: errors of HTTP/2, statuses of gRPC.

/// The name of a gRPC status, or its number.
pub(crate) fn grpc(code: u8) -> String {
    GRPC.get(usize::from(code)).map_or_else(|| code.to_string(), |name| (*name).to_owned())
}

/// The name of an HTTP/2 error (RFC 9113 section 7), or its number.
pub(crate) fn http2(code: u32) -> String {
    let name = usize::try_from(code).ok().and_then(|place| HTTP2.get(place));
    name.map_or_else(|| code.to_string(), |name| (*name).to_owned())
}

/// By number.
pub(crate) const HTTP2: &[&str] = &[
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

/// By number.
pub(crate) const GRPC: &[&str] = &[
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
