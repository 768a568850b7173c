//! The header of a request and the fields of its answer that are recorded.
//!
//! Copied into one piece of memory: it is made on a worker's thread and let go on the recorder's, and each piece costs both.

use smallvec::SmallVec;

/// What is copied of the headers of one exchange.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    /// The request header as HTTP/1 text; behind it name and value of each field of the answer.
    text: Vec<u8>,
    /// Where the first ends.
    request: usize,
    /// Where name and value of each field end.
    ends: SmallVec<[(usize, usize); 4]>,
}

impl Heads {
    /// The header of a request, as HTTP/1 text.
    pub(crate) fn of_request(head: &[u8]) -> Heads {
        let mut text = Vec::with_capacity(head.len() + ROOM);
        text.extend_from_slice(head);
        Heads::of_text(text)
    }

    /// The same where nobody else has it.
    pub(crate) fn of_text(head: Vec<u8>) -> Heads {
        Heads { request: head.len(), text: head, ends: SmallVec::new() }
    }

    pub(crate) fn request(&self) -> &[u8] {
        &self.text[..self.request]
    }

    /// Forgets the fields of the answer: another one takes its place.
    pub(crate) fn forget_answer(&mut self) {
        self.text.truncate(self.request);
        self.ends.clear();
    }

    /// A field of the answer.
    pub(crate) fn push(&mut self, name: &str, value: &[u8]) {
        self.text.extend_from_slice(name.as_bytes());
        let name_end = self.text.len();
        self.text.extend_from_slice(value);
        self.ends.push((name_end, self.text.len()));
    }

    /// Name and value of each field of the answer.
    pub(crate) fn answer(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut start = self.request;
        self.ends.iter().map(move |(name_end, end)| {
            let (name, value) = (&self.text[start..*name_end], &self.text[*name_end..*end]);
            start = *end;
            (std::str::from_utf8(name).expect("a name was text"), value)
        })
    }

    /// Bytes of all of it.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }
}

/// For the fields of an answer: most have a few short ones that are recorded.
const ROOM: usize = 192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_and_answer_stay_apart() {
        let mut heads = Heads::of_request(b"GET / HTTP/1.1\r\n\r\n");
        heads.push("etag", b"of an answer that was given up");
        heads.forget_answer();
        let fields: [(&str, &[u8]); 3] = [("Set-Cookie", b"a=\xff"), ("", b""), ("x", b"")];
        fields.iter().for_each(|(name, value)| heads.push(name, value));
        assert_eq!(heads.request(), b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(heads.answer().collect::<Vec<_>>(), fields);
        assert_eq!(heads.len(), 18 + 10 + 3 + 1);
    }
}
