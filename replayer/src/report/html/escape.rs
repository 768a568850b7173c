//! Text of strangers, made harmless for its place in the page.

/// Text between tags, or in the title.
pub(super) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // a control character is an error in HTML, even as a reference
            c if is_refused(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// JSON inside of a script element, where only the JSON's own escapes are undone: nothing in it can end the element.
pub(super) fn json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c if is_refused(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// What HTML refuses in a document: controls but white space, and what is no character.
fn is_refused(c: char) -> bool {
    let code = u32::from(c);
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || (0xfdd0..=0xfdef).contains(&code)
        || code & 0xfffe == 0xfffe
}

/// The template with its places filled, in one pass: what was filled in is not looked at again.
pub(super) fn filled(template: &str, places: &[(&str, &str)]) -> String {
    let mut out =
        String::with_capacity(template.len() + places.iter().map(|(_, text)| text.len()).sum::<usize>());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        out.push_str(places.iter().find(|(place, _)| *place == name).map_or("", |(_, text)| text));
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_its_element() {
        assert_eq!(text("<b>&\u{0}\n"), "&lt;b&gt;&amp;\u{fffd}\n");
        assert_eq!(json(r#"{"a":"</script><!--"}"#), r#"{"a":"\u003c/script\u003e\u003c!--"}"#);
        let back: serde_json::Value =
            serde_json::from_str(&json(r#""<&\u2028> \\u003c""#)).expect("still JSON");
        assert_eq!(back, "<&\u{2028}> \\u003c");
    }

    #[test]
    fn what_is_filled_in_is_no_template() {
        assert_eq!(filled("a{{x}}b{{y}}c{{z}}", &[("x", "{{y}}"), ("y", "1")]), "a{{y}}b1c");
    }
}
