//! The identifiers of an exchange, found as they are when it is written.

use super::holes::{Finder, MAX_HOLES, Style};
use super::kinds::Kind;
use super::{build, ids, packed};
use crate::Exchange;

/// Where an identifier stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::block) enum Standing {
    /// In a header or an answer.
    Given,
    /// In what the client asks for, or says.
    Asked,
    /// In text that is not taken apart.
    Text,
}

/// Calls `met` with each identifier of an exchange: family, packed bytes, and where it stands.
pub(in crate::block) fn ids(exchange: &Exchange, met: &mut impl FnMut(usize, &[u8], Standing)) {
    let request = &exchange.request;
    let mut look = |text: &[u8], style, standing| {
        let standing = if build::LONGEST_TEMPLATE < text.len() { Standing::Text } else { standing };
        Look { style, standing, start_us: exchange.start_us }.text(text, met);
    };
    look(request.authority.as_bytes(), Style::Document, Standing::Text);
    look(request.target.as_bytes(), Style::Document, Standing::Asked);
    request.headers.iter().for_each(|(_, value)| look(value, Style::Header, Standing::Given));
    look(request.body.data.as_deref().unwrap_or_default(), Style::Document, Standing::Asked);
    if let Some(response) = &exchange.response {
        response.headers.iter().for_each(|(_, value)| look(value, Style::Header, Standing::Given));
        look(response.body.data.as_deref().unwrap_or_default(), Style::Document, Standing::Given);
    }
    for message in exchange.stream.iter().flat_map(|stream| &stream.messages) {
        look(message.data.as_deref().unwrap_or_default(), Style::Document, Standing::Asked);
    }
}

struct Look {
    style: Style,
    standing: Standing,
    start_us: u64,
}

impl Look {
    /// Text in pieces: of each value so many holes are taken apart, what comes after is text.
    fn text(&self, text: &[u8], met: &mut impl FnMut(usize, &[u8], Standing)) {
        let (mut rest, mut standing) = (text, self.standing);
        let (mut finder, mut bytes) = (Finder::default(), Vec::new());
        while !rest.is_empty() {
            finder.find(rest, self.style, self.start_us);
            for hole in &finder.holes {
                if hole.kind.is_id() {
                    bytes.clear();
                    packed::pack(hole.kind, &rest[hole.start as usize..hole.end as usize], &mut bytes);
                    met(ids::family(hole), &bytes, standing);
                } else if hole.kind == Kind::Embedded {
                    self.embedded(finder.json(hole), standing, met);
                }
            }
            rest = match finder.holes.last() {
                Some(last) if finder.holes.len() == MAX_HOLES => &rest[last.end as usize..],
                _ => &[],
            };
            standing = Standing::Text;
        }
    }

    /// What is embedded is what it is embedded in; what is embedded in that again is text.
    fn embedded(&self, json: &[u8], standing: Standing, met: &mut impl FnMut(usize, &[u8], Standing)) {
        let mut finder = Finder::default();
        finder.find(json, Style::Document, self.start_us);
        for hole in finder.holes.iter().filter(|hole| hole.kind.is_id()) {
            let mut bytes = Vec::new();
            packed::pack(hole.kind, &json[hole.start as usize..hole.end as usize], &mut bytes);
            met(ids::family(hole), &bytes, standing);
        }
    }
}
