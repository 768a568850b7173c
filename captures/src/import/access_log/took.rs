//! How long a request took, where a line of the common form says so behind all that is common.

/// Microseconds, and whether the time of the line is that of the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Took {
    pub(super) us: u64,
    pub(super) is_end: bool,
}

/// What stands behind the user agent: `rt=0.003` or `request_time=0.003`; a number of bytes, seconds and a name in brackets,
/// as the ingress of Kubernetes writes; or Traefik's milliseconds at the end.
pub(super) fn took(rest: &[u8]) -> Option<Took> {
    let text = std::str::from_utf8(rest).ok()?;
    let of_nginx = |text: &str| {
        let seconds =
            text.trim_matches('"').split_once('.').and(text.trim_matches('"').parse::<f64>().ok())?;
        (0.0..1e9).contains(&seconds).then(|| Took { us: (seconds * 1e6).round() as u64, is_end: true })
    };
    let mut words = text.split_ascii_whitespace();
    let named = words.clone().find_map(|word| {
        let value = word.strip_prefix("rt=").or_else(|| word.strip_prefix("request_time="))?;
        of_nginx(value)
    });
    let of_ingress = match (words.next(), words.next(), words.next()) {
        (Some(bytes), Some(seconds), Some(name)) if name.starts_with('[') && bytes.parse::<u64>().is_ok() => {
            of_nginx(seconds)
        }
        _ => None,
    };
    named.or(of_ingress).or_else(|| {
        let (before, last) = text.trim_end().rsplit_once(' ')?;
        let ms: u32 = last.strip_suffix("ms").filter(|_| before.ends_with('"'))?.parse().ok()?;
        Some(Took { us: u64::from(ms) * 1000, is_end: false })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_nginx_its_ingress_and_traefik() {
        let check = |rest: &str, expect: Option<(u64, bool)>| {
            assert_eq!(took(rest.as_bytes()).map(|took| (took.us, took.is_end)), expect, "{rest}");
        };
        check(" \"-\" rt=0.250 uct=\"0.001\"", Some((250_000, true)));
        check(" request_time=1.500", Some((1_500_000, true)));
        check(" 341 0.004 [app-web-80] [] 10.0.0.5:80 5 0.004 200 b3a7", Some((4_000, true)));
        check(" 17 \"web@docker\" \"http://10.0.0.5:80\" 12ms", Some((12_000, false)));
        for other in [
            "",
            " 341",
            " 0.004",
            " 1 2 [x]",
            " rt=-",
            " rt=1",
            " 12ms",
            " \"x\" 99999999999ms",
            " rt=1e300.0",
        ] {
            check(other, None);
        }
    }
}
