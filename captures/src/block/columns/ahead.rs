//! Memory that is read before it is needed: what comes from far away comes sooner if it is asked for all at once, or while
//! there is something else to do.

use crate::Exchange;

/// Reads one byte of each line of memory that an exchange has.
pub(super) fn call_up(exchange: &Exchange) {
    let request = &exchange.request;
    let mut read = 0;
    let mut call = |bytes: &[u8]| bytes.iter().step_by(LINE).for_each(|byte| read ^= byte);
    let texts = [&exchange.edge, &request.method, &request.scheme, &request.authority, &request.target];
    texts.into_iter().for_each(|text| call(text.as_bytes()));
    for headers in [Some(&request.headers), exchange.response.as_ref().map(|response| &response.headers)] {
        let Some(headers) = headers else { continue };
        call(headers.names().as_bytes());
        call(headers.values());
        call(&[headers.name_ends().step_by(4).fold(0, |all, end| all ^ end) as u8]);
    }
    std::hint::black_box(read);
}

/// Bytes of a line of a processor's cache.
const LINE: usize = 64;
