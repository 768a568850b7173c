//! The search for holes byte by byte, as slow and as plain as it can be: what the other one is compared with. What a
//! number says is no matter of the search: that is asked of the same code.

use super::*;

/// Appends the holes of `text`, in order, without overlap; `start_us` is when its exchange began.
pub(super) fn find(text: &[u8], style: Style, start_us: u64, holes: &mut Vec<Hole>) {
    let most = holes.len() + MAX_HOLES;
    let mut at = 0;
    while at < text.len() && holes.len() < most {
        let start = at;
        let mut classes = 0;
        at += length(&text[at..], &mut classes, |class| class != 0);
        if classes & DIGIT != 0 {
            let run = Run { text, range: start..at, classes, style, start_us };
            at = at.max(run.find(holes));
        }
        // what ends a run begins none
        at += usize::from(at < text.len() && CLASS[text[at] as usize] == 0);
    }
    holes.truncate(most);
}

/// How many bytes at the beginning of `text` are of the classes that `belongs` says; which classes they are.
#[inline]
fn length(text: &[u8], classes: &mut u8, belongs: impl Fn(u8) -> bool) -> usize {
    for (at, byte) in text.iter().enumerate() {
        let class = CLASS[usize::from(*byte)];
        if !belongs(class) {
            return at;
        }
        *classes |= class;
    }
    text.len()
}

/// Letters, digits, `-` and `_` that stand together, some of them digits.
struct Run<'a> {
    text: &'a [u8],
    range: Range<usize>,
    /// The classes of its bytes.
    classes: u8,
    style: Style,
    start_us: u64,
}

impl Run<'_> {
    /// Appends what is found, and returns where that ends: a date goes on behind its run.
    fn find(&self, holes: &mut Vec<Hole>) -> usize {
        let run = &self.text[self.range.clone()];
        if let Some(kind) = whole(run, self.classes) {
            holes.push(hole(self.range.clone(), kind, 0));
            return self.range.end;
        }
        let mut at = self.range.start;
        if self.classes & DASH == 0 {
            let found = self.part(self.range.clone(), self.classes);
            at = found.map_or(self.range.end, |found| found.end as usize);
            holes.extend(found);
            return at;
        }
        while at < self.range.end {
            let start = at;
            let mut classes = 0;
            at += length(&self.text[at..self.range.end], &mut classes, |class| class & DASH == 0);
            if classes & DIGIT != 0
                && let Some(found) = self.part(start..at, classes)
            {
                at = found.end as usize;
                holes.push(found);
            }
            // behind the `-` or `_`, if that is what stands here
            at += usize::from(at < self.range.end);
        }
        at
    }

    /// What letters and digits that stand together are.
    fn part(&self, range: Range<usize>, classes: u8) -> Option<Hole> {
        let part = &self.text[range.clone()];
        let behind = &self.text[range.start..];
        if part.len() == 8
            && let Some(kind) = behind.get(..36).and_then(uuid)
        {
            return Some(hole(range.start..range.start + 36, kind, 0));
        }
        if classes == DIGIT {
            return number(self.text, range, self.style, self.start_us);
        }
        if part.len() < SHORTEST_HEX {
            return None;
        }
        let kind = match hex(classes) {
            Some(kind) => kind,
            None if is_random(part) => Kind::Word,
            None => return None,
        };
        Some(hole(range, kind, 0))
    }
}

/// What a whole run is, `-` and `_` included.
fn whole(run: &[u8], classes: u8) -> Option<Kind> {
    if run.len() < SHORTEST_TOKEN {
        return None;
    }
    if run.starts_with(b"squall_") && is_text_pseudonym(run) {
        return Some(Kind::Pseudonym);
    }
    if run.starts_with(b"eyJ") && super::super::embedded::decode(run, &mut Vec::new()) {
        return Some(Kind::Embedded);
    }
    if classes & DASH == 0 {
        // digits alone are a number or a time
        let is_word = classes != DIGIT && hex(classes).is_none() && is_random(run);
        return is_word.then_some(Kind::Word);
    }
    // identifiers that stand between dashes have one case
    let is_mixed = classes & (UPPER | UPPER_HEX) != 0 && classes & (LOWER | LOWER_HEX) != 0;
    (is_mixed && is_random(run)).then_some(Kind::Token)
}

/// Whether digits, capitals and small letters change too often for words.
fn is_random(part: &[u8]) -> bool {
    if part.len() < SHORTEST_TOKEN {
        return false;
    }
    let group = |byte: u8| match CLASS[byte as usize] {
        DIGIT => 1,
        LOWER | LOWER_HEX => 2,
        UPPER | UPPER_HEX => 3,
        _ => 0,
    };
    // dates and names with dashes change at every dash: those do not count
    let mut changes = 0;
    let mut before = 0;
    for byte in part {
        let now = group(*byte);
        changes += usize::from(now != before && now != 0 && before != 0);
        before = now;
    }
    part.len() <= changes * 4
}

fn uuid(text: &[u8]) -> Option<Kind> {
    if [8, 13, 18, 23].iter().any(|at| text[*at] != b'-') {
        return None;
    }
    let mut classes = 0;
    for group in [0..8, 9..13, 14..18, 19..23, 24..36] {
        if length(&text[group.clone()], &mut classes, |class| class != 0) != group.len() {
            return None;
        }
    }
    match classes {
        _ if classes & !(DIGIT | LOWER_HEX) == 0 => Some(Kind::Uuid),
        _ if classes & !(DIGIT | UPPER_HEX) == 0 => Some(Kind::UuidUpper),
        _ => None,
    }
}

/// What a byte can be part of; nothing, if it ends a run.
const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'f' => LOWER_HEX,
            b'g'..=b'z' => LOWER,
            b'A'..=b'F' => UPPER_HEX,
            b'G'..=b'Z' => UPPER,
            b'-' | b'_' => DASH,
            _ => 0,
        };
        byte += 1;
    }
    table
};
