//! Codes that have names: errors of HTTP/2, statuses of gRPC.

use toml::de::DeValue;

use super::findings::{Findings, help};
use super::table::Field;
use super::text::Text;
use super::words;
use crate::codes::{GRPC, HTTP2};

/// The code of an HTTP/2 error (RFC 9113 section 7), by name or number.
pub(crate) fn http2(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<u32> {
    code(field, HTTP2, u32::MAX, findings)
}

/// The same as a word.
pub(crate) fn http2_word(word: Text<'_>, findings: &mut Findings<'_>) -> Option<u32> {
    by_name_or_number(word, HTTP2, u32::MAX, findings)
}

/// The status of a gRPC call, by name or number.
pub(crate) fn grpc(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<u8> {
    code(field, GRPC, GRPC.len() as u32 - 1, findings).and_then(|code| u8::try_from(code).ok())
}

fn code(field: &Field<'_>, names: &[&str], most: u32, findings: &mut Findings<'_>) -> Option<u32> {
    match field.value.get_ref() {
        DeValue::Integer(_) => {
            let code = field.integer((0, i64::from(most)), findings)?;
            u32::try_from(code).ok()
        }
        _ => by_name_or_number(field.text(names.last()?, findings)?, names, most, findings),
    }
}

fn by_name_or_number(word: Text<'_>, names: &[&str], most: u32, findings: &mut Findings<'_>) -> Option<u32> {
    let name = word.str();
    let number = name.parse().ok().filter(|code| *code <= most);
    let found = names.iter().position(|known| *known == name).map(|place| place as u32).or(number);
    match found {
        Some(code) => Some(code),
        None => {
            let what = help(format!("no code is called `{name}`"), words::did_you_mean(name, names));
            findings.error("E24", word.span(), what)
        }
    }
}
