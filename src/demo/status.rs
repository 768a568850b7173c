//! What the proxy says of its rules, asked through its admin API as anybody could.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// The part of `GET /status` that the demo looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    /// Whether a replay has announced itself.
    pub(super) running: bool,
    /// Number of the rule set in force.
    pub(super) generation: u64,
    /// How many versions of the file were refused.
    pub(super) refused: u64,
    /// What is wrong with the newest version, as an editor shows it: `file:line:column: message`, and the help.
    pub(super) mistake: Option<String>,
}

/// Asks the proxy.
///
/// # Errors
/// When it does not answer, or not as agreed.
pub(super) fn ask(admin: SocketAddr) -> io::Result<Status> {
    let mut stream = TcpStream::connect_timeout(&admin, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /status HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES).read_to_string(&mut answer)?;
    parse(&answer)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an unexpected answer of /status"))
}

fn parse(answer: &str) -> Option<Status> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    if !head.starts_with("HTTP/1.1 200") {
        return None;
    }
    let status: Value = serde_json::from_str(body).ok()?;
    let rules = &status["rules"];
    Some(Status {
        running: !status["run"].is_null(),
        generation: status["generation"].as_u64()?,
        refused: rules["refused"].as_u64()?,
        mistake: mistake(&rules["error"]),
    })
}

fn mistake(error: &Value) -> Option<String> {
    let message = error["message"].as_str()?;
    let file = error["file"].as_str().unwrap_or_default();
    let file = file.rsplit('/').next().unwrap_or(file);
    let help = error["help"].as_str().map(|help| format!("; {help}")).unwrap_or_default();
    match (error["line"].as_u64(), error["column"].as_u64()) {
        (Some(line), Some(column)) => Some(format!("{file}:{line}:{column}: {message}{help}")),
        _ => Some(message.to_owned()),
    }
}

const PATIENCE: Duration = Duration::from_secs(2);
const ANSWER_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_file_is_told_with_its_place() {
        let answer = "HTTP/1.1 200 OK\r\n\r\n{\"generation\":3,\"run\":{},\"rules\":{\"refused\":1,\"error\":\
            {\"message\":\"unknown key `dealy`\",\"file\":\"/a/faults.toml\",\"line\":9,\"column\":1,\
            \"help\":\"did you mean `delay`?\"}}}";
        let status = parse(answer).unwrap();
        assert_eq!((status.running, status.generation, status.refused), (true, 3, 1));
        let words = "faults.toml:9:1: unknown key `dealy`; did you mean `delay`?";
        assert_eq!(status.mistake.as_deref(), Some(words));
    }

    #[test]
    fn other_answers_are_not_understood() {
        for answer in
            ["", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 500 No\r\n\r\n{}", "HTTP/1.1 200 OK\r\n\r\n{}"]
        {
            assert_eq!(parse(answer), None, "{answer}");
        }
    }
}
