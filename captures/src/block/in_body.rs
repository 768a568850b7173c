//! Messages of a stream whose bytes stand in the request body already.

use bytes::Bytes;

use crate::Body;
use crate::messages::{StreamKind, next_in_body};

/// Where in a request body the client's next gRPC message stands.
#[derive(Default)]
pub(super) struct InBody(usize);

impl InBody {
    /// The bytes that the body has for the next message, if it can have any.
    pub(super) fn of(&mut self, kind: StreamKind, from_client: bool, len: u64, body: &Body) -> Option<Bytes> {
        if kind != StreamKind::Grpc || !from_client {
            return None;
        }
        let range = next_in_body(&mut self.0, len)?;
        body.data.as_ref().filter(|data| range.end <= data.len()).map(|data| data.slice(range))
    }
}
