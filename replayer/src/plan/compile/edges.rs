//! `--edge`: which of the edges that recorded a capture are replayed.
//!
//! A service that calls others through edges of the same proxy makes those calls again when its own requests are replayed;
//! to send them as well would be to send them twice. So of each proxy only the first edge counts, unless one is named.

use captures::header::{EdgeInfo, FileHeader};

/// Stands for all edges.
pub(crate) const ALL: &str = "*";

/// The edges whose exchanges are replayed; `None`: whatever there is.
pub(crate) fn wanted<'a>(header: &'a FileHeader, named: Option<&'a str>) -> Option<Vec<&'a str>> {
    match named {
        Some(ALL) => None,
        Some(_) if header.edges.is_empty() => None,
        Some(name) => Some(vec![name]),
        None if header.edges.len() < 2 => None,
        None => {
            let is_first = |(place, edge): &(usize, &EdgeInfo)| {
                let mut before = header.edges[..*place].iter();
                edge.admin_url.is_none() || before.all(|other| other.admin_url != edge.admin_url)
            };
            let first = header.edges.iter().enumerate().filter(is_first);
            Some(first.map(|(_, edge)| edge.name.as_str()).collect())
        }
    }
}

/// The edge that a replay goes through where no target is named: the one that is replayed.
///
/// # Errors
/// In words, that there is none of that name, and which there are.
pub(crate) fn target<'a>(
    header: &'a FileHeader,
    named: Option<&str>,
) -> Result<Option<&'a EdgeInfo>, String> {
    match named {
        Some(name) if name != ALL && !header.edges.is_empty() => {
            let found = header.edges.iter().find(|edge| edge.name == name);
            let names: Vec<&str> = header.edges.iter().map(|edge| edge.name.as_str()).collect();
            found.map(Some).ok_or_else(|| {
                format!("--edge {name}: the capture was recorded at {}; name one of these", names.join(", "))
            })
        }
        _ => Ok(header.edges.first()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(edges: &[(&str, Option<&str>)]) -> FileHeader {
        let edge = |(name, admin): &(&str, Option<&str>)| EdgeInfo {
            name: (*name).to_owned(),
            listen_url: format!("http://{name}"),
            admin_url: admin.map(str::to_owned),
        };
        FileHeader { edges: edges.iter().map(edge).collect(), ..FileHeader::new("test", 0) }
    }

    #[test]
    fn of_each_proxy_the_first_edge_counts() {
        let check = |edges: &[(&str, Option<&str>)], named, expected: Option<&[&str]>| {
            assert_eq!(wanted(&header(edges), named).as_deref(), expected, "{edges:?} {named:?}");
        };
        let chain = [("front", Some("a")), ("payments", Some("a")), ("search", Some("a"))];
        check(&chain, None, Some(&["front"]));
        check(&chain, Some("search"), Some(&["search"]));
        check(&chain, Some("*"), None);
        check(&[("default", Some("a"))], None, None);
        check(&[("shop", Some("a")), ("web", Some("b"))], None, Some(&["shop", "web"])); // merged
        check(&[("shop", None), ("web", None)], None, Some(&["shop", "web"])); // nobody knows
        check(&[], Some("front"), None);
    }

    #[test]
    fn the_load_goes_where_it_was_recorded() {
        let header = header(&[("front", None), ("payments", None)]);
        let name = |named| target(&header, named).map(|edge| edge.map(|edge| edge.name.as_str()));
        assert_eq!((name(None), name(Some("*"))), (Ok(Some("front")), Ok(Some("front"))));
        assert_eq!(name(Some("payments")), Ok(Some("payments")));
        let words = name(Some("payment")).unwrap_err();
        assert!(words.contains("front, payments"), "{words}");
    }
}
