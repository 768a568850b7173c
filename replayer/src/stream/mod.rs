//! What a client writes on a stream that stays open, and how the messages that come back are timed.

pub(crate) mod grpc;
pub(crate) mod pulse;
pub(crate) mod script;
pub(crate) mod ws;

/// Appends `payload` and `count` bytes of `filler`.
fn push_filled(out: &mut Vec<u8>, payload: &[u8], filler: u8, count: usize) {
    out.reserve(payload.len() + count);
    out.extend_from_slice(payload);
    out.resize(out.len() + count, filler);
}

/// How many bytes of filler a message with that payload really gets: recorded sizes are not trusted.
fn bounded(payload: &[u8], filler: u64) -> usize {
    let room = crate::limits::MESSAGE_BYTES.saturating_sub(payload.len());
    usize::try_from(filler).unwrap_or(usize::MAX).min(room)
}
