//! `shard`: `crc32(path customer) % 16 in [3, 11]`, or the same as a table.

use toml::Spanned;
use toml::de::DeValue;

use super::findings::{Findings, Span, help};
use super::table::Field;
use super::text::Text;
use super::{on, rate, words};
use crate::matcher::Matcher;
use crate::select::{Hash, Key, Shard};

/// The value of a `shard` key. A part of the path must be a part of `on`, where that could be read.
pub(crate) fn field(field: &Field<'_>, on: Option<&Matcher>, findings: &mut Findings<'_>) -> Option<Shard> {
    match field.value.get_ref() {
        DeValue::Table(_) => from_table(field, on, findings),
        _ => from_text(field.text(EXAMPLE, findings)?, on, findings),
    }
}

fn from_table(field: &Field<'_>, on: Option<&Matcher>, findings: &mut Findings<'_>) -> Option<Shard> {
    let mut fields = field.table("`shard`", findings)?;
    let key = fields.needed("key", "\"path customer\"", findings).and_then(|field| {
        let text = field.text("path customer", findings)?;
        key(text, on, findings)
    });
    let hash = fields.needed("hash", "\"crc32\"", findings).and_then(|field| {
        let text = field.text("crc32", findings)?;
        hash(text, findings)
    });
    let of = fields
        .needed("of", "16", findings)
        .and_then(|field| field.integer((1, i64::MAX), findings))
        .map(i64::unsigned_abs);
    let is = fields.needed("is", "[3, 11]", findings);
    let is = is.and_then(|field| numbers(field.array(findings)?, field.span(), of?, findings));
    fields.finish(findings);
    Some(Shard { key: key?, hash: hash?, of: of?, is: is? })
}

fn from_text(text: Text<'_>, on: Option<&Matcher>, findings: &mut Findings<'_>) -> Option<Shard> {
    let parts = text.split_once("(").and_then(|(hash, rest)| {
        let (key, rest) = rest.split_once(")")?;
        let (nothing, rest) = rest.split_once("%")?;
        let (of, is) = rest.split_once(" in ").filter(|_| nothing.str().is_empty())?;
        let list = is.str().strip_prefix('[')?.strip_suffix(']')?;
        Some((hash, key, of, is.part(list)))
    });
    let Some((hash_word, key_words, of, list)) = parts else {
        let what = help(format!("`{}` is no shard", text.str()), format!("write `{EXAMPLE}`"));
        return findings.error("E14", text.span(), what);
    };
    let (hash, key) = (hash(hash_word, findings), key(key_words, on, findings));
    let count = of.str().parse().ok().filter(|of| (1..=i64::MAX as u64).contains(of));
    let Some(count) = count else {
        let message = format!("`{}` is no number of shards", of.str());
        return findings.error("E14", of.span(), help(message, format!("write `{EXAMPLE}`")));
    };
    let read: Vec<_> = list
        .str()
        .split(',')
        .map(|number| {
            let number = list.part(number.trim());
            index(number.str(), number.span(), count, findings)
        })
        .collect();
    Some(Shard { key: key?, hash: hash?, of: count, is: read.into_iter().collect::<Option<_>>()? })
}

fn numbers(
    items: &[Spanned<DeValue<'_>>],
    span: Span,
    of: u64,
    findings: &mut Findings<'_>,
) -> Option<Vec<u64>> {
    if items.is_empty() {
        return findings.error("E14", span, help("none of the shards", "write `is = [3, 11]`"));
    }
    let read: Vec<_> = items
        .iter()
        .map(|item| index(super::table::bare_number(item).unwrap_or(""), item.span(), of, findings))
        .collect();
    read.into_iter().collect()
}

fn index(digits: &str, span: Span, of: u64, findings: &mut Findings<'_>) -> Option<u64> {
    match digits.parse::<u64>() {
        Ok(index) if index < of => Some(index),
        Ok(index) => {
            let message = format!("there is no shard {index} among {of}");
            findings.error("E14", span, help(message, format!("they count from 0 to {}", of - 1)))
        }
        Err(_) => findings.error("E14", span, help("a shard is a whole number", "write `in [3, 11]`")),
    }
}

/// `path NAME`, `header NAME`, `cookie NAME`, `query NAME`, `session`.
fn key(text: Text<'_>, on: Option<&Matcher>, findings: &mut Findings<'_>) -> Option<Key> {
    let words = text.words();
    let (kind, name) = match words.as_slice() {
        [kind] => (*kind, None),
        [kind, name] => (*kind, Some(name.unquoted())),
        _ => {
            let what = help("a key of one or two words", "write `path NAME`, `header NAME` or `session`");
            return findings.error("E14", text.span(), what);
        }
    };
    match (kind.str(), name) {
        ("session", None) => Some(Key::Session),
        ("path", Some(name)) => rate::path_name(name, on, findings).map(Key::Path),
        ("header", Some(name)) => Some(Key::Header(on::header_name(name, findings)?)),
        ("cookie", Some(name)) => Some(Key::Cookie(name.str().to_owned())),
        ("query", Some(name)) => Some(Key::Query(name.str().to_owned())),
        ("path" | "header" | "cookie" | "query", None) => {
            let message = format!("`{}` wants a name", kind.str());
            findings.error("E14", kind.span(), help(message, format!("write `{} NAME`", kind.str())))
        }
        (wrong, _) => {
            let message = format!("no application shards by `{wrong}`");
            findings.error("E14", kind.span(), help(message, words::did_you_mean(wrong, KEYS)))
        }
    }
}

fn hash(name: Text<'_>, findings: &mut Findings<'_>) -> Option<Hash> {
    if let Some(hash) = Hash::ALL.iter().find(|hash| hash.name() == name.str()) {
        return Some(*hash);
    }
    let message = format!("no hash is called `{}` here", name.str());
    let advice = words::did_you_mean(name.str(), &Hash::ALL.map(Hash::name));
    findings.error("E14", name.span(), help(message, advice))
}

const KEYS: &[&str] = &["path", "header", "cookie", "query", "session"];

const EXAMPLE: &str = "crc32(path customer) % 16 in [3, 11]";
