//! Typed netstrings, the notation of mitmproxy's files: a length, a colon, so many bytes, and a letter for their type.
//!
//! `5:hello,` bytes, `5:hello;` text, `2:42#` an integer, `3:1.5^` a float, `4:true!`, `0:~` nothing, and around others of
//! these `]` a list, `}` a dictionary.

use crate::wire::Malformed;

/// A value; strings lie in the input.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Bytes or text: old versions do not tell them apart.
    Bytes(&'a [u8]),
    List(Vec<Item<'a>>),
    Dict(Vec<(&'a [u8], Item<'a>)>),
}

impl<'a> Item<'a> {
    /// What `bytes` hold, which is one value and nothing else.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Item<'a>, Malformed> {
        let mut budget = MAX_ITEMS;
        match item(bytes, MAX_DEPTH, &mut budget)? {
            (item, []) => Ok(item),
            _ => Err(Malformed("something follows the end of a value")),
        }
    }

    /// The value of a key; `Null` where there is none, or no dictionary.
    pub(super) fn get(&self, key: &str) -> &Item<'a> {
        let Item::Dict(fields) = self else { return &Item::Null };
        fields.iter().find(|(name, _)| *name == key.as_bytes()).map_or(&Item::Null, |(_, value)| value)
    }

    /// The first of several names that has a value.
    pub(super) fn any(&self, keys: &[&str]) -> &Item<'a> {
        keys.iter().map(|key| self.get(key)).find(|value| !value.is_null()).unwrap_or(&Item::Null)
    }

    pub(super) fn is_null(&self) -> bool {
        *self == Item::Null
    }

    pub(super) fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Item::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes().unwrap_or_default()).into_owned()
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Item::Int(n) => Some(*n as f64),
            Item::Float(n) if n.is_finite() => Some(*n),
            _ => None,
        }
    }

    pub(super) fn list(&self) -> &[Item<'a>] {
        match self {
            Item::List(items) => items,
            _ => &[],
        }
    }

    pub(super) fn is_true(&self) -> bool {
        *self == Item::Bool(true)
    }
}

/// The number before the colon, and where what it counts begins; `None` when more bytes are needed to say.
pub(super) fn prefix(bytes: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let digits = bytes.iter().take(MAX_DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
    match bytes.get(digits) {
        _ if MAX_DIGITS < digits => Err(Malformed("a length has too many digits")),
        None => Ok(None),
        Some(b':') if digits != 0 => {
            let len = bytes[..digits].iter().fold(0, |len, digit| len * 10 + usize::from(digit - b'0'));
            Ok(Some((len, digits + 1)))
        }
        Some(_) => Err(Malformed("no length stands where a value begins")),
    }
}

/// The first value, and what follows it.
fn item<'a>(bytes: &'a [u8], depth: usize, budget: &mut usize) -> Result<(Item<'a>, &'a [u8]), Malformed> {
    *budget = budget.checked_sub(1).ok_or(Malformed("it has too many parts"))?;
    let (len, start) = prefix(bytes)?.ok_or(Malformed("a value is cut short"))?;
    let (data, rest) = bytes[start..].split_at_checked(len).ok_or(Malformed("a value is cut short"))?;
    let (kind, rest) = rest.split_first().ok_or(Malformed("a value is cut short"))?;
    let item = match kind {
        b',' | b';' => Item::Bytes(data),
        b'#' => Item::Int(parsed(data).ok_or(Malformed("an integer is none"))?),
        b'^' => Item::Float(parsed(data).ok_or(Malformed("a float is none"))?),
        b'!' if data == b"true" || data == b"false" => Item::Bool(data == b"true"),
        b'~' if data.is_empty() => Item::Null,
        b']' => Item::List(list(data, depth, budget)?),
        b'}' => Item::Dict(dict(data, depth, budget)?),
        _ => return Err(Malformed("a value is of no known type")),
    };
    Ok((item, rest))
}

fn list<'a>(mut data: &'a [u8], depth: usize, budget: &mut usize) -> Result<Vec<Item<'a>>, Malformed> {
    let depth = depth.checked_sub(1).ok_or(Malformed("it is nested too deep"))?;
    let mut items = Vec::new();
    while !data.is_empty() {
        let (next, rest) = item(data, depth, budget)?;
        items.push(next);
        data = rest;
    }
    Ok(items)
}

type Fields<'a> = Vec<(&'a [u8], Item<'a>)>;

fn dict<'a>(mut data: &'a [u8], depth: usize, budget: &mut usize) -> Result<Fields<'a>, Malformed> {
    let depth = depth.checked_sub(1).ok_or(Malformed("it is nested too deep"))?;
    let mut fields = Vec::new();
    while !data.is_empty() {
        let (key, rest) = item(data, depth, budget)?;
        let (value, rest) = item(rest, depth, budget)?;
        fields.push((key.bytes().ok_or(Malformed("a key is no text"))?, value));
        data = rest;
    }
    Ok(fields)
}

fn parsed<T: std::str::FromStr>(data: &[u8]) -> Option<T> {
    std::str::from_utf8(data).ok()?.parse().ok()
}

/// As mitmproxy itself takes.
const MAX_DIGITS: usize = 12;
/// Flows nest four deep.
const MAX_DEPTH: usize = 16;
/// A WebSocket message has seven parts; this is room for all that are kept of one exchange.
const MAX_ITEMS: usize = 8 * crate::limits::MAX_MESSAGES;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_of_every_type() {
        let check =
            |text: &str, expect: Item<'_>| assert_eq!(Item::parse(text.as_bytes()), Ok(expect), "{text}");
        check("5:hello,", Item::Bytes(b"hello"));
        check("5:hello;", Item::Bytes(b"hello"));
        check("0:,", Item::Bytes(b""));
        check("3:-42#", Item::Int(-42));
        check("17:1439457839.560502^", Item::Float(1_439_457_839.560_502));
        check("4:true!", Item::Bool(true));
        check("0:~", Item::Null);
        check("0:]", Item::List(vec![]));
        check("10:1:1#3:abc,]", Item::List(vec![Item::Int(1), Item::Bytes(b"abc")]));
        check("8:1:k;1:1#}", Item::Dict(vec![(b"k", Item::Int(1))]));
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "5",
            "5:",
            "5:hell,",
            "5:hello",
            "6:hello,",
            "x:hello,",
            ":,",
            "5:hello?",
            "1:x#",
            "0:^",
            "3:yes!",
            "1:x~",
            "3:0:~}",
            "4:1:1#}",
            "2:1:]",
            "9999999999999:x,",
            "5:hello,x",
            "999999999999:x,",
        ] {
            assert!(Item::parse(text.as_bytes()).is_err(), "{text}");
        }
        let mut deep = "0:]".to_owned();
        for _ in 0..MAX_DEPTH {
            deep = format!("{}:{deep}]", deep.len());
        }
        assert!(Item::parse(deep.as_bytes()).unwrap_err().0.contains("deep"));
        let many = "0:~".repeat(MAX_ITEMS);
        assert!(Item::parse(format!("{}:{many}]", many.len()).as_bytes()).unwrap_err().0.contains("parts"));
    }

    #[test]
    fn fields_are_found_by_name() {
        let item = Item::parse(b"24:4:body,0:~7:content,1:x,}").unwrap();
        assert_eq!(item.any(&["body", "content"]).bytes(), Some(&b"x"[..]));
        assert!(item.get("none").is_null() && item.get("content").get("none").is_null());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_value_or_not(bytes in "[0-9:,;#^!~}\\]tru]{0,40}") {
            let _ = Item::parse(bytes.as_bytes());
        }
    }
}
