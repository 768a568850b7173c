//! Memory that is called before it is needed: what comes from far away comes sooner if it is asked for all at once, or while
//! there is something else to do.
//!
//! The one unsafe call is a hint to the processor. It reads and writes nothing that a program could see, and no address,
//! be it of nothing at all, makes it fail.

use crate::Exchange;

/// Calls each line of memory that an exchange has.
pub(super) fn call_up(exchange: &Exchange) {
    let request = &exchange.request;
    let texts = [&request.target, &request.method, &request.authority, &exchange.edge, &request.scheme];
    texts.into_iter().for_each(|text| lines(text.as_bytes()));
    for headers in [Some(&request.headers), exchange.response.as_ref().map(|response| &response.headers)] {
        let Some(headers) = headers else { continue };
        lines(headers.names().as_bytes());
        lines(headers.ends());
        lines(headers.values());
    }
}

/// Calls up to `n` things from one place of a list on.
#[inline]
pub(super) fn some<T>(all: &[T], from: usize, n: usize) {
    lines(all.get(from..(from + n).min(all.len())).unwrap_or_default());
}

/// Calls every line of memory that these things stand in; of very many only the first, or they would drive out each other.
#[inline]
fn lines<T>(all: &[T]) {
    let bytes = size_of_val(all).min(MOST);
    let first = all.as_ptr().cast::<i8>();
    (0..bytes).step_by(LINE).for_each(|at| line(first.wrapping_add(at)));
    if LINE < bytes {
        // a list seldom begins where a line does
        line(first.wrapping_add(bytes - 1));
    }
}

/// Calls one line of memory.
#[inline]
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
fn line(at: *const i8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a hint, which does not fail whatever the address is
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at) }
}

/// There is no such hint that a program could give elsewhere.
#[inline]
#[cfg(not(target_arch = "x86_64"))]
fn line(_at: *const i8) {}

/// Bytes of a line of a processor's cache.
const LINE: usize = 64;
/// Bytes that are called of one list.
const MOST: usize = 4096;
