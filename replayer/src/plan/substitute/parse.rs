//! `--set` as it is typed.

use std::str::FromStr;

use crate::plan::substitute::{Part, Place, Substitution};
use crate::plan::template::{is_clean, is_token};

impl FromStr for Substitution {
    type Err = String;

    fn from_str(text: &str) -> Result<Substitution, String> {
        let shape = "write header:NAME=VALUE, query:NAME=VALUE, form:FIELD=VALUE or json:PATH=VALUE";
        let (kind, rest) = text.split_once(':').ok_or_else(|| format!("`{text}`: {shape}"))?;
        let (name, value) = rest.split_once('=').ok_or_else(|| format!("`{text}` sets no value: {shape}"))?;
        let name = name.trim();
        if name.is_empty() {
            return Err(format!("`{text}` names no field: {shape}"));
        }
        let place = match kind.trim() {
            "header" => Place::Header(header(name)?),
            "query" => Place::Query(name.to_owned()),
            "form" => Place::Form(name.to_owned()),
            "json" => Place::Json(name.split('.').map(str::to_owned).collect()),
            other => return Err(format!("`{other}` is no place for a value: {shape}")),
        };
        let parts = parts(value).map_err(|why| format!("`{text}`: {why}"))?;
        let clean = |part: &Part| !matches!(part, Part::Text(text) if !is_clean(text.as_bytes()));
        if matches!(place, Place::Header(_)) && !parts.iter().all(clean) {
            return Err(format!("`{text}`: a header field holds no control characters"));
        }
        Ok(Substitution { place, parts })
    }
}

fn header(name: &str) -> Result<String, String> {
    let lower = name.to_ascii_lowercase();
    if !is_token(name.as_bytes()) {
        return Err(format!("`{name}` is not the name of a header field"));
    }
    match lower.as_str() {
        "host" => Err("the Host field is the same for all: write -H 'Host: NAME'".to_owned()),
        "cookie" => Err("cookies are each clone's own already: what the server sets is sent back".to_owned()),
        known if FRAMING.contains(&known) || known.starts_with("squall-") => {
            Err(format!("`{name}` is written by the replayer itself"))
        }
        _ => Ok(name.to_owned()),
    }
}

fn parts(value: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = value;
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        let (brace, after) = rest[at..].split_at(1);
        if let Some(after) = after.strip_prefix(brace) {
            text.push_str(brace);
            rest = after;
            continue;
        }
        let closed = (brace == "{").then(|| after.split_once('}')).flatten();
        let (name, after) = closed
            .ok_or_else(|| format!("a lone `{brace}`; write {brace}{brace} for the character itself"))?;
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text)));
        }
        parts.push(match name.trim() {
            "" => return Err("`{}` names no column; write {{}} for the characters themselves".to_owned()),
            "session" => Part::Session,
            "clone" => Part::Clone,
            "uuid" => Part::Uuid,
            column => Part::Column(column.to_owned()),
        });
        rest = after;
    }
    text.push_str(rest);
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

/// Fields about the connection or the length of the body.
const FRAMING: [&str; 9] = [
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> Part {
        Part::Column(name.to_owned())
    }

    fn text(text: &str) -> Part {
        Part::Text(text.to_owned())
    }

    #[test]
    fn what_is_meant_is_understood() {
        let check = |typed: &str, place: Place, parts: &[Part]| {
            let expect = Substitution { place, parts: parts.to_vec() };
            assert_eq!(typed.parse(), Ok(expect), "{typed}");
        };
        let header = Place::Header("Authorization".to_owned());
        check("header:Authorization=Bearer {token}", header, &[text("Bearer "), column("token")]);
        check("query:q=", Place::Query("q".to_owned()), &[]);
        check(
            "form:user={name}@{host}",
            Place::Form("user".to_owned()),
            &[column("name"), text("@"), column("host")],
        );
        let path = Place::Json(vec!["items".to_owned(), "0".to_owned(), "id".to_owned()]);
        check(
            "json:items.0.id={{{session}-{clone}}}={uuid}",
            path,
            &[text("{"), Part::Session, text("-"), Part::Clone, text("}="), Part::Uuid],
        );
    }

    #[test]
    fn what_is_not_is_said() {
        let check = |typed: &str, words: &str| {
            let why = typed.parse::<Substitution>().unwrap_err();
            assert!(why.contains(words), "{typed}: {why}");
        };
        check("Authorization=x", "write header:NAME=VALUE");
        check("header:X-A", "sets no value");
        check("body:x=1", "`body` is no place");
        check("header:=1", "names no field");
        check("header:a b=1", "not the name of a header");
        check("header:Host=1", "-H 'Host");
        check("header:Cookie=1", "cookies are");
        check("header:Content-Length=1", "by the replayer itself");
        check("header:squall-op=1", "by the replayer itself");
        check("header:x=a\nb", "no control characters");
        check("query:q={", "write {{");
        check("query:q=}", "write }}");
        check("query:q={}", "names no column");
        check("query:q={a", "a lone `{`");
    }
}
