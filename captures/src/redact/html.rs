//! Secrets in HTML: values of form fields, `meta` elements and `data-` attributes whose name says that they are secret.

use super::secrets::Secrets;
use crate::links::{LeafKind, html};

/// Rewrites a page; `None` when nothing is to be hidden. A page that is no UTF-8 is made so where something is.
pub(super) fn rewrite(page: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(page);
    let mut places = Vec::new();
    html::places(&text, &mut |kind, value| {
        let (LeafKind::Field(name) | LeafKind::Meta(name) | LeafKind::Data(name)) = &kind else { return };
        if secrets.is_secret_field(name.as_bytes())
            && let Some(pseudonym) = secrets.hide(html::decoded(value).as_bytes())
        {
            let start = value.as_ptr() as usize - text.as_ptr() as usize;
            places.push((start..start + value.len(), pseudonym));
        }
    });
    if places.is_empty() {
        return None;
    }
    places.sort_by_key(|(range, _)| range.start);
    let mut out = Vec::with_capacity(text.len());
    let mut done = 0;
    for (range, pseudonym) in places {
        out.extend_from_slice(&text.as_bytes()[done..range.start]);
        out.extend_from_slice(pseudonym.as_bytes());
        done = range.end;
    }
    out.extend_from_slice(&text.as_bytes()[done..]);
    Some(out)
}
