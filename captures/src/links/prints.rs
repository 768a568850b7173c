//! Prints: what stands for values where an answer is recorded as a digest, so that its links are found all the same.
//!
//! When an exchange is recorded, each value of the answer that a later request may carry is written down as its place and
//! a *print*, 48 bits of a keyed hash; so is each value of the request. Equal values have equal prints, which is all that
//! mining looks at. The key is not in the capture: nothing can be guessed from a print alone. What can be seen is which
//! values are equal, and so which value of an answer is one that a request of the capture carries.
//!
//! They lie in two fields that are added to the head of the answer: [`LEAVES`] for what the answer gave, [`SLOTS`] for what the
//! request carried. `captures/FORMAT.md` has their form.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt::Write;

use siphasher::sip::SipHasher24;
use xxhash_rust::xxh3::xxh3_64;

use super::answer::{self, AddressPart, BodyKind, Given, Times};
use super::names::{has_clean_names, is_clean_slot, is_name};
use super::place::Leaf;
use super::request::{self, Carried};
use super::value::{self, Makeup};
use super::walk;
use super::written::{self, WrittenTrail};
use crate::exchange::Response;
use crate::limits::{MAX_LINK_VALUES, MAX_PRINT_PLAIN, MAX_PRINTS};
use crate::redact::percent_decode;
use crate::{Exchange, Headers, Redactor};

/// The field with the prints of what an answer gave.
pub const LEAVES: &str = "squall-leaves";
/// The field, of the answer too, with the prints of what the request carried.
pub const SLOTS: &str = "squall-slots";

/// What stands for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print {
    hash: u64,
    /// The value is not equal to another one by chance.
    strong: bool,
}

/// Makes prints under one key.
pub struct Printer {
    /// SipHash-2-4 (Aumasson and Bernstein, 2012) is a keyed hash for short texts, which is what values are.
    hasher: SipHasher24,
    /// Names of fields that may be written as they are.
    clean: RefCell<HashSet<String>>,
}

/// The prints of an exchange, not written yet.
#[derive(Debug, Default)]
pub struct Noted {
    leaves: String,
    slots: String,
    /// Values beyond [`MAX_PRINTS`].
    pub left_out: u64,
    /// The body was there and could be looked into.
    pub looked_into: bool,
}

impl Print {
    pub(super) fn id(print: Option<Print>, value: &[u8]) -> u64 {
        print.map_or_else(|| xxh3_64(value), |print| print.hash)
    }

    pub(super) fn is_strong(print: Option<Print>, value: &[u8]) -> bool {
        print.map_or_else(|| value::is_strong(value), |print| print.strong)
    }
}

impl Printer {
    /// With the key of the redaction, from which its own follows.
    pub fn new(key: &[u8; 32]) -> Printer {
        let key = blake3::derive_key("squall captures 2026 prints of values", key);
        let mut half = [0; 16];
        half.copy_from_slice(&key[..16]);
        Printer { hasher: SipHasher24::new_with_key(&half), clean: RefCell::default() }
    }

    /// Takes the prints of an exchange, which is not redacted yet, and of the body of its answer, as far as it was kept.
    /// What stands under a name that `redactor` would hide is left out.
    pub fn note(&self, exchange: &Exchange, body: Option<&[u8]>, redactor: Option<&Redactor>) -> Noted {
        let Some(response) = &exchange.response else { return Noted::default() };
        let is_clean = |name: &str| self.is_clean(name, redactor);
        let mut slots = List::default();
        for carried in request::carried(&exchange.request) {
            if is_wanted(&carried.value) && is_clean_slot(&carried.slot, &is_clean) {
                slots.push(&carried.slot.to_string(), self.print(&carried.value), None);
            }
        }
        let mut leaves = List::default();
        let mut take = |leaf: Leaf, value: &[u8], event: Option<usize>| {
            if has_clean_names(&leaf.kind, &is_clean) {
                leaves.push(&leaf.to_string(), self.print(value), event);
            }
        };
        answer::in_head(&response.headers, &is_wanted, &mut take);
        let looked_into = match body.and_then(|body| answer::opened(&response.headers, body, MAX_PRINT_PLAIN))
        {
            Some((BodyKind::Json, plain)) => self.note_json(&plain, &is_clean, &mut leaves),
            Some((kind, plain)) => answer::in_body(kind, &plain, &is_wanted, &mut take),
            None => false,
        };
        let left_out = slots.left_out + leaves.left_out;
        let leaves = if looked_into { format!("{ALL}{}", leaves.finish()) } else { leaves.finish() };
        Noted { leaves, slots: slots.finish(), left_out, looked_into }
    }

    /// Most of what a recording looks into is JSON: its places are written as they are met. Whether it is JSON to its end.
    fn note_json(&self, plain: &[u8], is_clean: &dyn Fn(&str) -> bool, leaves: &mut List) -> bool {
        let before = leaves.mark();
        let mut trail = WrittenTrail::new("json:$", is_clean);
        let is_json = walk::along(plain, &mut trail, &mut |trail, value| {
            if !trail.is_clean() {
                return;
            }
            if is_wanted(value.as_bytes()) {
                leaves.push_written(trail.text(), self.print(value.as_bytes()), None);
            }
            answer::address_parts(value, &mut |part, value| {
                let path = trail.text().trim_start_matches("json:");
                let place = match part {
                    AddressPart::Path(segment) => format!("json-path:{segment}%20{path}"),
                    AddressPart::Query(name) if is_clean(&name) => {
                        format!("json-query:{}%20{path}", written::encoded(&name))
                    }
                    AddressPart::Query(_) => return,
                };
                if is_wanted(value) {
                    leaves.push_written(&place, self.print(value), None);
                }
            });
        });
        if !is_json {
            leaves.undo(before);
        }
        is_json
    }

    /// Whether a name may be written as it is.
    fn is_clean(&self, name: &str, redactor: Option<&Redactor>) -> bool {
        let mut clean = self.clean.borrow_mut();
        if clean.contains(name) {
            return true;
        }
        let is_clean = is_name(name) && redactor.is_none_or(|redactor| redactor.is_clean(name));
        if is_clean {
            if MAX_CLEAN <= clean.len() {
                clean.clear();
            }
            clean.insert(name.to_owned());
        }
        is_clean
    }

    fn print(&self, value: &[u8]) -> Print {
        let hash = self.hasher.hash(value) >> (u64::BITS as usize - 8 * PRINT_BYTES);
        Print { hash, strong: value::is_strong(value) }
    }
}

impl Noted {
    /// Adds them to the head of the answer.
    pub fn write(self, exchange: &mut Exchange) {
        let Some(response) = &mut exchange.response else { return };
        for (name, value) in [(LEAVES, self.leaves), (SLOTS, self.slots)] {
            if !value.is_empty() {
                response.headers.push(name, value.trim_start());
            }
        }
    }
}

/// Whether answers with such a head are looked into beyond it.
pub fn is_looked_into(headers: &Headers) -> bool {
    is_kind_looked_into(headers.get_str("content-type").unwrap_or_default())
}

/// The same by what the answer says that its type is; empty where it does not say.
pub fn is_kind_looked_into(kind: &str) -> bool {
    let says = |word: &&[u8]| kind.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    kind.is_empty() || [&b"json"[..], b"html", b"event-stream"].iter().any(says)
}

/// A list of prints as it is written.
#[derive(Default)]
struct List {
    text: String,
    len: usize,
    left_out: u64,
    event: Option<usize>,
}

impl List {
    fn push(&mut self, place: &str, print: Print, event: Option<usize>) {
        self.push_written(&written::encoded(place), print, event);
    }

    /// `place` is encoded already.
    fn push_written(&mut self, place: &str, print: Print, event: Option<usize>) {
        if MAX_PRINTS <= self.len {
            self.left_out += 1;
            return;
        }
        self.len += 1;
        if event != self.event {
            self.event = event;
            let _ = event.map_or(Ok(()), |event| write!(self.text, " @{event}"));
        }
        self.text.push(' ');
        self.text.push_str(place);
        self.text.push(if print.strong { '=' } else { '~' });
        self.text.extend((0..2 * PRINT_BYTES).rev().map(|digit| hex_digit(print.hash >> (4 * digit))));
    }

    fn mark(&self) -> (usize, usize, u64) {
        (self.text.len(), self.len, self.left_out)
    }

    /// Lets go of what came after the mark, which was no event.
    fn undo(&mut self, (text, len, left_out): (usize, usize, u64)) {
        self.text.truncate(text);
        (self.len, self.left_out) = (len, left_out);
    }

    fn finish(mut self) -> String {
        if self.left_out != 0 {
            let _ = write!(self.text, " +{}", self.left_out);
        }
        self.text
    }
}

/// Of the lowest four bits.
fn hex_digit(bits: u64) -> char {
    char::from(b"0123456789abcdef"[(bits & 0xf) as usize])
}

/// A value with its print.
struct Entry {
    place: String,
    print: Print,
    /// The number of the event that it stands in.
    event: Option<usize>,
}

/// The entries of a list. What cannot be read is passed over.
fn entries(text: &str) -> impl Iterator<Item = Entry> {
    let mut event = None;
    text.split(' ').take(MAX_WORDS).filter_map(move |word| {
        if let Some(number) = word.strip_prefix('@') {
            event = number.parse().ok();
            return None;
        }
        let at = word.len().checked_sub(2 * PRINT_BYTES + 1)?;
        let (place, print) = word.split_at_checked(at)?;
        let strong = print.starts_with('=');
        let digits = print.strip_prefix(['=', '~']).filter(|digits| digits.bytes().all(is_digit))?;
        let place = String::from_utf8(percent_decode(place.as_bytes())).ok()?;
        let print = Print { hash: u64::from_str_radix(digits, 16).ok()?, strong };
        Some(Entry { place, print, event })
    })
}

/// The list with other prints in place of those that `new` knows by their [`Given::id`]; `None` where it knows none.
pub(crate) fn renewed(list: &str, new: &dyn Fn(u64) -> Option<u64>) -> Option<String> {
    let renew = |word: &str| {
        let (place, digits) = word.split_at_checked(word.len().checked_sub(2 * PRINT_BYTES)?)?;
        let is_print = place.ends_with(['=', '~']) && digits.bytes().all(is_digit);
        let hash = new(u64::from_str_radix(digits, 16).ok().filter(|_| is_print)?)?;
        Some(format!(
            "{place}{:0width$x}",
            hash >> (u64::BITS as usize - 8 * PRINT_BYTES),
            width = 2 * PRINT_BYTES
        ))
    };
    let words: Vec<Cow<'_, str>> =
        list.split(' ').map(|word| renew(word).map_or(word.into(), Cow::Owned)).collect();
    words.iter().any(|word| matches!(word, Cow::Owned(_))).then(|| words.join(" "))
}

fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// The values of an answer that was recorded with prints; `None`: it was not.
pub(super) fn given(response: &Response, times: &Times) -> Option<Vec<Given>> {
    if ![LEAVES, SLOTS].iter().any(|name| response.headers.contains(name)) {
        return None;
    }
    let mut entries: Vec<_> =
        entries(response.headers.get_str(LEAVES).unwrap_or_default()).map(Some).collect();
    let mut all = Vec::new();
    // what stands in the head is there to be seen as well
    answer::each(&response.headers, None, 0, &value::is_worth_a_look, &mut |leaf, found, _| {
        let place = leaf.to_string();
        let is_it = |entry: &&mut Option<Entry>| entry.as_ref().is_some_and(|entry| entry.place == place);
        let print = entries.iter_mut().find(is_it).and_then(Option::take).map(|entry| entry.print);
        if all.len() < MAX_LINK_VALUES {
            all.push(Given { leaf, value: found.to_vec(), at_us: times.at(None), print });
        }
    });
    all.extend(entries.into_iter().flatten().filter_map(|Entry { place, print, event }| {
        let leaf = place.parse().ok()?;
        Some(Given { leaf, value: Vec::new(), at_us: times.at(event), print: Some(print) })
    }));
    Some(all)
}

/// Gives the values of a request their prints.
pub(super) fn add(response: &Response, all: &mut [Carried]) {
    let Some(slots) = response.headers.get_str(SLOTS) else { return };
    let known: Vec<Entry> = entries(slots).collect();
    for carried in all {
        let place = carried.slot.to_string();
        carried.print = known.iter().find(|known| known.place == place).map(|known| known.print);
    }
}

/// Whether all that is looked at of the body of an answer is among its prints, or it is of no kind that is looked at.
pub(super) fn covers_body(response: &Response) -> bool {
    let leaves = response.headers.get_str(LEAVES).unwrap_or_default();
    leaves.split(' ').next() == Some(ALL) || !is_looked_into(&response.headers)
}

/// Whether a value may be sent back: a number, or a word that is long, or has a digit. Sentences and short words are not.
fn is_wanted(value: &[u8]) -> bool {
    if !value::is_worth_a_look(value) {
        return false;
    }
    let Makeup { digits, spaces, .. } = Makeup::of(value);
    spaces == 0 && (digits != 0 || LONG_WORD <= value.len())
}

/// The first word of [`LEAVES`] where the body was looked into.
const ALL: &str = "all";
/// So many bytes of the hash: one of the values of a whole recording meets another's print with a chance of a few percent,
/// and one pair alone makes no link.
const PRINT_BYTES: usize = 6;
/// Shorter words without a digit name things.
const LONG_WORD: usize = 8;
/// Names that are remembered as clean.
const MAX_CLEAN: usize = 4096;
/// Words of a field that are read: prints, and a mark before each.
const MAX_WORDS: usize = 2 * MAX_PRINTS + 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Request;
    use crate::{Body, SessionId};

    fn exchange(target: &str, kind: &str, answer: &str) -> Exchange {
        let headers = [("content-type", kind), ("set-cookie", "sid=0123456789abcdef; Path=/")];
        Exchange {
            session: SessionId(1),
            request: Request { target: target.to_owned(), ..Request::default() },
            response: Some(Response {
                status: 200,
                headers: headers.into_iter().collect(),
                body: Body::digest(answer.len() as u64, None),
            }),
            ..Exchange::default()
        }
    }

    fn noted(target: &str, kind: &str, answer: &str) -> Noted {
        let printer = Printer::new(&[7; 32]);
        printer.note(&exchange(target, kind, answer), Some(answer.as_bytes()), Some(&Redactor::new([7; 32])))
    }

    /// Places without their prints.
    fn places(list: &str) -> String {
        let place = |word: &str| word.split(['=', '~']).next().unwrap_or_default().to_owned();
        list.trim_start().split(' ').map(place).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn places_are_written_with_prints_and_values_are_not() {
        let json = r#"{"a b":{"token":"0123456789abcdef"},"n":[7,42],"word":"dark","say":"a few words 1","longword":"abcdefgh"}"#;
        let noted = noted("/orders/42?q=dark&to=abcdefgh", "application/json", json);
        assert_eq!(
            places(&noted.leaves),
            "all set-cookie:sid json:$[\"a%20b\"].token json:$.n[0] json:$.n[1] json:$.longword"
        );
        assert_eq!(places(&noted.slots), "path:2 query:to");
        let print = |list: &str, place: &str| {
            let found = entries(list).find(|entry| entry.place == place).expect(place);
            (found.print.hash, found.print.strong)
        };
        assert_eq!(print(&noted.leaves, "set-cookie:sid"), print(&noted.leaves, "json:$[\"a b\"].token"));
        assert_eq!(print(&noted.leaves, "json:$.n[1]"), print(&noted.slots, "path:2"));
        assert_eq!(print(&noted.leaves, "json:$.longword"), print(&noted.slots, "query:to"));
        assert!(print(&noted.leaves, "set-cookie:sid").1 && !print(&noted.slots, "path:2").1);
        for value in ["0123456789abcdef", "abcdefgh", "dark"] {
            assert!(!noted.leaves.contains(value) && !noted.slots.contains(value), "{value}");
        }
        let other = Printer::new(&[8; 32]).print(b"42");
        assert_ne!(print(&noted.slots, "path:2").0, other.hash, "the key decides");
    }

    #[test]
    fn names_that_are_secrets_are_not_written() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl";
        let json = format!(
            r#"{{"ann@mail.example":1001,"{jwt}":1002,"4111111111111111":1003,"hunter-two":1004,"id":1005}}"#
        );
        let mut redactor = Redactor::new([7; 32]);
        let mut login = exchange("/login?password=hunter-two", "text/plain", "");
        redactor.exchange(&mut login);
        let asked = exchange("/x", "application/json", &json);
        let noted = Printer::new(&[7; 32]).note(&asked, Some(json.as_bytes()), Some(&redactor));
        assert_eq!(places(&noted.leaves), "all set-cookie:sid json:$.id");
    }

    #[test]
    fn what_is_too_much_is_counted_and_what_cannot_be_read_is_said() {
        let many = format!("[{}]", (1000..1300).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
        let noted = noted("/", "application/json", &many);
        assert_eq!((noted.left_out, noted.looked_into), (45, true));
        assert!(noted.leaves.ends_with(" +45"), "{}", noted.leaves);
        assert_eq!(entries(&noted.leaves).count(), MAX_PRINTS);
        let printer = Printer::new(&[7; 32]);
        let mut whole = exchange("/", "application/json", "{}");
        let cut = printer.note(&whole, Some(b"{\"token\":\"0123456789"), None);
        assert_eq!((places(&cut.leaves).as_str(), cut.looked_into), ("set-cookie:sid", false));
        cut.write(&mut whole);
        assert!(!covers_body(whole.response.as_ref().unwrap()));
        let mut page = exchange("/", "text/html", "<p>");
        printer.note(&page, Some(b"<p>"), None).write(&mut page);
        assert!(covers_body(page.response.as_ref().unwrap()));
    }

    #[test]
    fn lists_of_any_form_are_read_without_trouble() {
        for list in [
            "",
            " ",
            "all",
            "@",
            "@x @3",
            "=",
            "=0123456789ab",
            "json:$.a=0123456789aB",
            "é=0123456789ab",
            "+3",
        ] {
            let mut answer = exchange("/", "application/json", "{}").response.unwrap();
            answer.headers.push(LEAVES, list);
            let times = Times::default();
            let all = given(&answer, &times).unwrap();
            assert_eq!(all.len(), 1, "{list}: {all:?}");
        }
    }
}
