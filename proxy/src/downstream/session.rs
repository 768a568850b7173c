//! What pingora's proxy asks of a session.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use http::HeaderMap;
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::custom::CustomMessageWrite;
use pingora_core::protocols::http::custom::server::Session;
use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};

use super::Downstream;

impl Downstream {
    fn is_http2(&self) -> bool {
        matches!(self.inner, ServerSession::H2(_))
    }

    /// Writes a batch of an HTTP/2 answer; true: that was the end of it.
    async fn write(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut end = false;
        for task in tasks {
            end |= match task {
                HttpTask::Header(header, end) => {
                    self.write_response_header(header, end).await?;
                    end
                }
                HttpTask::Body(Some(data), end) => {
                    self.answer.body(data, end).await?;
                    end
                }
                HttpTask::Body(None, end) => end,
                HttpTask::Trailer(Some(trailers)) => {
                    self.answer.trailers(*trailers).await?;
                    true
                }
                HttpTask::Trailer(None) | HttpTask::Done => true,
                HttpTask::Failed(error) => {
                    self.answer.fail().await;
                    return Err(error);
                }
                HttpTask::UpgradedBody(..) => {
                    return Error::e_explain(ErrorType::InternalError, "an upgrade on HTTP/2");
                }
            };
        }
        if end {
            self.answer.finish().await?;
        }
        Ok(end)
    }

    /// Throws a batch of an answer away. At its end, however that came about, what was asked for instead happens.
    async fn lose(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let over = tasks.iter().any(|task| task.is_end() || matches!(task, HttpTask::Failed(_)));
        match self.swallow.take_if(|_| over) {
            Some(swallow) => {
                let about = (self.answer.ctl(), self.answer.shared());
                swallow.end(&mut self.inner, about).await?;
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

#[async_trait]
impl Session for Downstream {
    fn req_header(&self) -> &RequestHeader {
        self.inner.req_header()
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.inner.req_header_mut()
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        if !self.is_http2() {
            return self.inner.read_request_body().await;
        }
        Ok(if self.request.fill(&mut self.inner).await? { Some(self.request.take().await) } else { None })
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        self.inner.drain_request_body().await
    }

    async fn write_response_header(&mut self, header: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.follow_orders();
        self.answer.header(&mut self.inner, header, end).await
    }

    async fn write_response_header_ref(&mut self, header: &ResponseHeader, end: bool) -> Result<()> {
        self.write_response_header(Box::new(header.clone()), end).await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        if self.is_http2() {
            return self.answer.body(data, end).await;
        }
        self.inner.write_response_body(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        if self.is_http2() { self.answer.trailers(trailers).await } else { Ok(()) }
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        self.follow_orders();
        match (&self.swallow, self.is_http2()) {
            (Some(_), _) => self.lose(tasks).await,
            (None, true) => self.write(tasks).await,
            (None, false) => self.inner.response_duplex_vec(tasks).await,
        }
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_read_timeout(timeout);
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.inner.get_read_timeout()
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.inner.get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.inner.get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        self.inner.request_summary()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.inner.response_written()
    }

    async fn shutdown(&mut self, _code: u32, _why: &str) {
        self.inner.shutdown().await;
    }

    fn is_body_done(&mut self) -> bool {
        self.inner.is_body_done() && !self.request.has_ahead()
    }

    async fn finish(&mut self) -> Result<()> {
        if self.is_http2() { self.answer.finish().await } else { self.inner.finish_body().await }
    }

    fn is_body_empty(&mut self) -> bool {
        self.inner.is_body_empty()
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if !self.is_http2() {
            return self.inner.read_body_or_idle(no_body_expected).await;
        }
        if no_body_expected || self.is_body_done() {
            return Err(self.answer.idle(Some(&mut self.inner)).await);
        }
        tokio::select! {
            biased;
            filled = self.request.fill(&mut self.inner) => if !filled? {
                return Ok(None);
            },
            error = self.answer.idle(None) => return Err(error),
        }
        tokio::select! {
            biased;
            piece = self.request.take() => Ok(Some(piece)),
            error = self.answer.idle(Some(&mut self.inner)) => Err(error),
        }
    }

    fn body_bytes_sent(&self) -> usize {
        self.inner.body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.inner.body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.inner.digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.inner.digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.inner.client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.inner.server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.inner.to_h1_raw()
    }

    fn enable_retry_buffering(&mut self) {
        if self.is_http2() {
            self.request.keep_for_repeat();
        } else {
            self.inner.enable_retry_buffering();
        }
    }

    fn retry_buffer_truncated(&self) -> bool {
        if self.is_http2() { self.request.is_truncated() } else { self.inner.retry_buffer_truncated() }
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        if self.is_http2() { self.request.kept() } else { self.inner.get_retry_buffer() }
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _: Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }

    fn is_upgrade_req(&self) -> bool {
        self.inner.is_upgrade_req()
    }

    fn was_upgraded(&self) -> bool {
        self.inner.was_upgraded()
    }
}
